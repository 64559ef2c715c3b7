// The private module ane_train._native: the C ABI as Python objects, made from its headers alone.
// What is general about the ABI is a typemap; the package on top of it holds the idiom.
//
// - A handle is an object that owns one reference, released with the object. A call holds its
//   arguments, so another thread may drop a handle that is in use.
// - A status is no result: other than ANET_OK it is an exception (ane_train.errors). Output handles,
//   strings and numbers are results, in their order.
// - A struct is an object with its struct_size set. What its fields point to is borrowed, as in C:
//   whoever fills a struct keeps the strings, arrays and callables alive (ane_train._support).
// - Calls run without the interpreter's lock, except the trivial ones.
%module(package="ane_train", threads="1") _native

%{
#include <ane_train.h>
#include <ane_train_apple.h>

#include "arrays.h"
#include "callbacks.h"
#include "failures.h"
#include "interrupts.h"
%}

%include <stdint.i>
%include <carrays.i>
%include "unlocked.swg"
%include "arrays.swg"
%include "handles.swg"
%include "callbacks.swg"
%include "interrupts.swg"
%include "structs.swg"

%rename("$ignore", regextarget=1) "^anet_.*_(retain|release)$";
%ignore anet_struct_init;

// SWIG does not know UINT64_MAX.
%constant uint64_t ANET_NO_OFFSET = UINT64_MAX;

%include <ane_train.h>
%include <ane_train_apple.h>
