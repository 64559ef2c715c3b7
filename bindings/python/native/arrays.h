// Memory that Python objects lend for a call: arrays by the buffer protocol, strings, extents.
#ifndef ANE_TRAIN_PYTHON_ARRAYS_H
#define ANE_TRAIN_PYTHON_ARRAYS_H

#include <Python.h>

#include <ane_train.h>
#include <string.h>

// The memory of a C-contiguous array, or NULL with an exception. `codes` are the format characters
// that its elements may have, NULL: any bytes.
static Py_buffer* borrow_array(PyObject* object, const char* codes, size_t item_size,
                               const char* type_name, int writable) {
  Py_buffer* view = PyMem_Malloc(sizeof *view);
  if (view == NULL) {
    PyErr_NoMemory();
    return NULL;
  }
  int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
  if (PyObject_GetBuffer(object, view, flags) != 0) {
    PyMem_Free(view);
    return NULL;
  }
  const char* format = view->format != NULL ? view->format : "B";
  if (strchr("@=<", format[0]) != NULL && format[0] != '\0') ++format;
  int fits = view->len % (Py_ssize_t)item_size == 0;
  if (codes != NULL)
    fits = view->itemsize == (Py_ssize_t)item_size && format[0] != '\0' && format[1] == '\0' &&
           strchr(codes, format[0]) != NULL;
  if (!fits) {
    PyErr_Format(PyExc_TypeError, "expected an array of %s, seen elements of %zd bytes, format %s",
                 type_name, view->itemsize, format);
    PyBuffer_Release(view);
    PyMem_Free(view);
    return NULL;
  }
  return view;
}

static void return_array(Py_buffer* view) {
  if (view == NULL) return;
  PyBuffer_Release(view);
  PyMem_Free(view);
}

// The UTF-8 that a str holds for itself, as long as it lives; NULL with an exception.
static const char* borrow_text(PyObject* object, Py_ssize_t* length) {
  if (PyUnicode_Check(object)) return PyUnicode_AsUTF8AndSize(object, length);
  PyObject* name = PyType_GetName(Py_TYPE(object));
  if (name != NULL) PyErr_Format(PyExc_TypeError, "expected a str, seen %U", name);
  Py_XDECREF(name);
  return NULL;
}

static const char* borrow_string(PyObject* object) {
  Py_ssize_t length = 0;
  const char* text = borrow_text(object, &length);
  if (text != NULL && strlen(text) != (size_t)length) {
    PyErr_SetString(PyExc_ValueError, "expected text without null characters");
    return NULL;
  }
  return text;
}

static int read_extents(PyObject* sequence, int64_t* extents) {
  Py_ssize_t count = PySequence_Size(sequence);
  if (count < 0) return 0;
  if (count > ANET_MAX_RANK) {
    PyErr_Format(PyExc_ValueError, "expected at most %d extents, seen %zd", ANET_MAX_RANK, count);
    return 0;
  }
  memset(extents, 0, ANET_MAX_RANK * sizeof *extents);
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* item = PySequence_GetItem(sequence, i);
    if (item == NULL) return 0;
    extents[i] = PyLong_AsLongLong(item);
    Py_DecRef(item);
    if (extents[i] == -1 && PyErr_Occurred()) return 0;
  }
  return 1;
}

// A tuple with the item, which it takes; NULL when there is no item.
static PyObject* with_item(PyObject* tuple, Py_ssize_t index, PyObject* item) {
  if (tuple != NULL && item != NULL && PyTuple_SetItem(tuple, index, item) == 0) return tuple;
  Py_XDECREF(tuple);
  return NULL;
}

static PyObject* extents_tuple(const int64_t* extents) {
  PyObject* tuple = PyTuple_New(ANET_MAX_RANK);
  for (Py_ssize_t i = 0; tuple != NULL && i < ANET_MAX_RANK; ++i)
    tuple = with_item(tuple, i, PyLong_FromLongLong(extents[i]));
  return tuple;
}

static PyObject* ids_tuple(const int32_t* ids, size_t count) {
  PyObject* tuple = PyTuple_New((Py_ssize_t)count);
  for (Py_ssize_t i = 0; tuple != NULL && i < (Py_ssize_t)count; ++i)
    tuple = with_item(tuple, i, PyLong_FromLong(ids[i]));
  return tuple;
}

static PyObject* string_tuple(const char* const* strings, size_t count) {
  PyObject* tuple = PyTuple_New((Py_ssize_t)count);
  for (Py_ssize_t i = 0; tuple != NULL && i < (Py_ssize_t)count; ++i)
    tuple = with_item(tuple, i,
                      PyUnicode_DecodeUTF8(strings[i], (Py_ssize_t)strlen(strings[i]), "replace"));
  return tuple;
}

#endif
