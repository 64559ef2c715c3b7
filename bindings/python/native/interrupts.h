// Ctrl-C in a long call. Python's own handler only notes the signal until the call returns. While
// one runs on the main thread, a handler in front of it also cancels the call, which then returns
// at its next kernel; the wrapper raises KeyboardInterrupt. It stands back where the program has
// installed a handler of its own.
#ifndef ANE_TRAIN_PYTHON_INTERRUPTS_H
#define ANE_TRAIN_PYTHON_INTERRUPTS_H

#include <Python.h>

#include <ane_train.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#if !defined(__APPLE__)
#include <sys/syscall.h>
#endif

typedef struct interruptible_call {
  void (*cancel)(void* handle);
  void* handle;
  struct interruptible_call* outer; // a callback may start another call
} interruptible_call;

static interruptible_call* volatile running_call;
static struct sigaction python_handler;
static pthread_t interrupted_thread;

static void on_interrupt(int number, siginfo_t* info, void* context) {
  int saved_errno = errno;
  if (!pthread_equal(pthread_self(), interrupted_thread)) {
    pthread_kill(interrupted_thread, number); // where the call cannot end meanwhile
  } else {
    if (running_call != NULL) running_call->cancel(running_call->handle);
    if ((python_handler.sa_flags & SA_SIGINFO) != 0)
      python_handler.sa_sigaction(number, info, context);
    else
      python_handler.sa_handler(number);
  }
  errno = saved_errno;
}

static int on_main_thread(void) {
#if defined(__APPLE__)
  return pthread_main_np() != 0;
#else
  return (pid_t)syscall(SYS_gettid) == getpid();
#endif
}

// 1 where Ctrl-C raises KeyboardInterrupt: on the main thread, with Python's usual handler. Runs no
// Python code, in which a signal could be noticed.
static int interrupts_raise(void) {
  if (!on_main_thread()) return 0;
  PyObject* signals = PyImport_ImportModule("_signal");
  PyObject* handler =
      signals == NULL ? NULL : PyObject_CallMethod(signals, "getsignal", "i", SIGINT);
  PyObject* usual = handler == NULL ? NULL : PyObject_GetAttrString(signals, "default_int_handler");
  int answer = usual == NULL ? -1 : handler == usual;
  Py_XDECREF(usual);
  Py_XDECREF(handler);
  Py_XDECREF(signals);
  return answer;
}

// 0 with an exception.
static int begin_interruptible(interruptible_call* call, void (*cancel)(void*), void* handle) {
  call->handle = NULL;
  int raises = handle == NULL ? 0 : interrupts_raise();
  if (raises <= 0) return raises == 0;
  *call = (interruptible_call){cancel, handle, running_call};
  running_call = call;
  if (call->outer != NULL) return 1;
  interrupted_thread = pthread_self();
  struct sigaction action = {.sa_sigaction = on_interrupt, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, NULL, &python_handler); // first: the new handler needs it at once
  sigaction(SIGINT, &action, NULL);
  return 1;
}

static void end_interruptible(interruptible_call* call) {
  if (call->handle == NULL) return;
  if (call->outer == NULL) sigaction(SIGINT, &python_handler, NULL);
  running_call = call->outer;
}

static void cancel_session(void* session) { anet_session_cancel(session); }
static void cancel_generator(void* generator) { anet_generator_cancel(generator); }

#endif
