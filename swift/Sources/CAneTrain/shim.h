/* The installed headers of libane_train, found through pkg-config. */
#include <ane_train.h>
#include <ane_train_apple.h>
