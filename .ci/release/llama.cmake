# llama.cpp as coe-lsp needs it, for the build of llama-cpp-python:
#     CMAKE_ARGS="-DCMAKE_PROJECT_INCLUDE=$PWD/.ci/release/llama.cmake" pip install .
# Read after `project()`. Plain variables win over the options of the same name, also over
# LLAMA_BUILD_COMMON, which llama-cpp-python forces on in the cache.

# Neither pictures nor llama.cpp's programs: 70 files to compile in place of 177.
set(LLAVA_BUILD OFF)
set(LLAMA_BUILD_COMMON OFF)

# Each library once. The wheel had six copies: of three names, here and beside the package.
set(CMAKE_PLATFORM_NO_VERSIONED_SONAME ON)
set(CMAKE_INSTALL_BINDIR llama_cpp/lib)
set(CMAKE_INSTALL_LIBDIR llama_cpp/lib)
set(CMAKE_INSTALL_INCLUDEDIR llama_cpp/include)
