# libane_train. `make help` lists the targets; CONTRIBUTING.md explains them.

VERSION := 0.1.0
ABI     := 0

# Each MODE has its own tree, so that configurations never mix.
MODE  ?= release
BUILD ?= build
OBJ   := $(BUILD)/$(MODE)

CXX      ?= g++
CC       ?= gcc
CXXSTD   := -std=c++20
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Werror
CPPFLAGS += -Iinclude -Isrc -MMD -MP
FLAGS_release := -O3 -g1
FLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS_tsan    := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
COMMON   := $(FLAGS_$(MODE)) -fPIC -fvisibility=hidden -ffp-contract=off
LDLIBS   := -ldnnl -lgomp -lhwy -lcjson -lpthread -ldl

SOURCES := $(sort $(shell find src -name '*.cpp'))
OBJECTS := $(SOURCES:%.cpp=$(OBJ)/%.o)
ARCHIVE := $(OBJ)/libane_train_internal.a

UNIT_SOURCES := $(sort $(shell find tests/unit -name '*.cpp'))
UNIT_OBJECTS := $(UNIT_SOURCES:%.cpp=$(OBJ)/%.o)
# One program a layer: tests/unit/mil/*.cpp -> build/release/unit_mil.
UNIT_LAYERS  := $(sort $(notdir $(patsubst %/,%,$(dir $(filter tests/unit/%/,$(dir $(UNIT_SOURCES)))))))

$(OBJ)/%.o: %.cpp
	@mkdir -p $(@D)
	$(CXX) $(CXXSTD) $(WARNINGS) $(CPPFLAGS) $(COMMON) $(CXXFLAGS) -c $< -o $@

$(ARCHIVE): $(OBJECTS)
	@rm -f $@
	ar rcs $@ $^

-include $(OBJECTS:.o=.d) $(UNIT_OBJECTS:.o=.d)
