// INGOT_HD marks functions that host and device compilers both accept. Headers of this folder use no
// standard library and no fmt, so that every backend can share the one definition of each format.
#pragma once

#ifdef __CUDACC__
#define INGOT_HD __host__ __device__
#else
#define INGOT_HD
#endif
