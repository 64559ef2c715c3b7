// A status other than ANET_OK becomes an exception that ane_train.errors makes.
#ifndef ANE_TRAIN_PYTHON_FAILURES_H
#define ANE_TRAIN_PYTHON_FAILURES_H

#include <Python.h>

#include <ane_train.h>

// Takes `error`, an object of the class anet_error, or NULL with an exception.
static void raise_error(PyObject* error) {
  PyObject* errors = error == NULL ? NULL : PyImport_ImportModule("ane_train.errors");
  PyObject* exception =
      errors == NULL ? NULL : PyObject_CallMethod(errors, "from_native", "O", error);
  if (exception != NULL) PyErr_SetObject((PyObject*)Py_TYPE(exception), exception);
  Py_XDECREF(exception);
  Py_XDECREF(errors);
  Py_XDECREF(error);
}

// What a callback raised comes before what the library says about it, and so does Ctrl-C.
static int has_exception(anet_status status) {
  if (PyErr_Occurred()) return 1;
  return status == ANET_E_CANCELLED && PyErr_CheckSignals() != 0;
}

#endif
