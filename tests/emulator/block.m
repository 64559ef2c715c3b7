/* Completion handlers (ane-facts.md 1.5). They are blocks, for which GCC and its runtime have
 * nothing; their layout is that of clang's block ABI. */
#import "framework.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct BlockDescriptor {
  unsigned long reserved;
  unsigned long size;
  void (*copy)(void* to, const void* from); /* only with block_has_helpers */
  void (*dispose)(const void* block);
} BlockDescriptor;

typedef struct Block {
  void* isa;
  int flags;
  int reserved;
  void (*invoke)(void* block, bool succeeded, NSError* error);
  const BlockDescriptor* descriptor;
} Block;

enum { block_has_helpers = 1 << 25, block_is_global = 1 << 28 };

/* How long after the evaluation has returned. */
enum { completion_delay_us = 200 };

void* emulator_block_copy(void* block) {
  Block* const original = block;
  if (original == NULL || (original->flags & block_is_global) != 0) return block;
  Block* const copy = malloc(original->descriptor->size);
  if (copy == NULL) abort(); /* a test without memory proves nothing */
  memcpy(copy, original, original->descriptor->size);
  if ((original->flags & block_has_helpers) != 0) original->descriptor->copy(copy, original);
  return copy;
}

void emulator_block_release(void* block) {
  const Block* const copy = block;
  if (copy == NULL || (copy->flags & block_is_global) != 0) return;
  if ((copy->flags & block_has_helpers) != 0) copy->descriptor->dispose(copy);
  free(block);
}

/* One call of a handler, from a thread of its own. */
@interface EmulatorCompletion : NSObject {
@public
  Block* block;
  BOOL succeeded;
  NSError* error;
}
@end

@implementation EmulatorCompletion

- (void)deliver {
  usleep(completion_delay_us);
  block->invoke(block, succeeded, error);
}

- (void)dealloc {
  emulator_block_release(block);
  [error release];
  [super dealloc];
}

@end

void emulator_complete(void* handler, BOOL succeeded, NSError* error) {
  if (handler == NULL) return;
  EmulatorCompletion* completion = [EmulatorCompletion new];
  completion->block = emulator_block_copy(handler);
  completion->succeeded = succeeded;
  completion->error = [error retain];
  [NSThread detachNewThreadSelector:@selector(deliver) toTarget:completion withObject:nil];
  [completion release]; /* the thread retains it */
}
