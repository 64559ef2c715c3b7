// C functions that call Python: user_data is the callable, which whoever started the call holds.
//
// An exception stays set in the thread's state, the library is told to stop, and the wrapper of the
// call that was running finds the exception (failures.h): that is how it keeps its traceback.
#ifndef ANE_TRAIN_PYTHON_CALLBACKS_H
#define ANE_TRAIN_PYTHON_CALLBACKS_H

#include <Python.h>

#include <ane_train.h>

// Calls and steals `arguments`. 1 when the answer is true, `failed` after an exception.
static int32_t answer_of(PyObject* callable, PyObject* arguments, int32_t failed) {
  PyObject* result = arguments == NULL ? NULL : PyObject_CallObject(callable, arguments);
  int truth = result == NULL ? -1 : PyObject_IsTrue(result);
  Py_XDECREF(result);
  Py_XDECREF(arguments);
  return truth < 0 ? failed : truth;
}

// Without a callable the progress of a call is the moment to look for Ctrl-C.
static int32_t call_progress(const anet_progress* progress, void* user_data) {
  PyGILState_STATE lock = PyGILState_Ensure();
  int32_t answer = 1;
  if (!PyErr_Occurred()) {
    answer = PyErr_CheckSignals() != 0;
    if (answer == 0 && user_data != NULL)
      answer = answer_of(user_data,
                         Py_BuildValue("(sKK)", progress->what != NULL ? progress->what : "",
                                       (unsigned long long)progress->done,
                                       (unsigned long long)progress->total),
                         1);
  }
  PyGILState_Release(lock);
  return answer;
}

static int32_t call_token(int32_t id, const char* text, size_t length, void* user_data) {
  PyGILState_STATE lock = PyGILState_Ensure();
  int32_t answer = 1;
  if (!PyErr_Occurred())
    answer =
        answer_of(user_data,
                  Py_BuildValue("(is#)", (int)id, text != NULL ? text : "", (Py_ssize_t)length), 1);
  PyGILState_Release(lock);
  return answer;
}

static int32_t call_batch_token(size_t index, int32_t id, const char* text, size_t length,
                                void* user_data) {
  PyGILState_STATE lock = PyGILState_Ensure();
  int32_t answer = 1;
  if (!PyErr_Occurred())
    answer = answer_of(user_data,
                       Py_BuildValue("(Kis#)", (unsigned long long)index, (int)id,
                                     text != NULL ? text : "", (Py_ssize_t)length),
                       1);
  PyGILState_Release(lock);
  return answer;
}

// From any thread, perhaps one that is unwinding from a callback of its own.
static void call_log(anet_log_level level, const char* message, void* user_data) {
  if (!Py_IsInitialized()) return;
  PyGILState_STATE lock = PyGILState_Ensure();
  PyObject *type = NULL, *value = NULL, *traceback = NULL;
  PyErr_Fetch(&type, &value, &traceback);
  PyObject* result = PyObject_CallFunction(user_data, "is", (int)level, message);
  if (result == NULL) PyErr_WriteUnraisable(user_data);
  Py_XDECREF(result);
  PyErr_Restore(type, value, traceback);
  PyGILState_Release(lock);
}

// The library's last use of an object that it was given.
static void release_object(void* user_data) {
  if (!Py_IsInitialized()) return;
  PyGILState_STATE lock = PyGILState_Ensure();
  Py_DecRef(user_data);
  PyGILState_Release(lock);
}

#endif
