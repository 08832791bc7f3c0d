// host-races: kernels are compiled with -fsanitize=thread, but linked against these functions instead of the
// sanitizer's runtime. Every load and store of a .hip file calls one; outside of kernels they do nothing.
#include "kernels/hip/host/shadow.hpp"

#if defined(GRETA_RACES)

#  include <atomic>
#  include <cstring>

namespace {

using greta::hip::host::Shadow;

inline void seen(const void* address, size_t bytes, bool write, bool atomic, void* back) {
  // The call's return address lies behind the access; one byte before it is inside.
  Shadow::instance().access(reinterpret_cast<uintptr_t>(address), bytes, write, atomic,
                            reinterpret_cast<uintptr_t>(back) - 1);
}

}  // namespace

#  define GRETA_HOOK extern "C" __attribute__((noinline))
#  define GRETA_PLAIN(bytes)                                                                                   \
    GRETA_HOOK void __tsan_read##bytes(void* a) { seen(a, bytes, false, false, __builtin_return_address(0)); } \
    GRETA_HOOK void __tsan_write##bytes(void* a) { seen(a, bytes, true, false, __builtin_return_address(0)); } \
    GRETA_HOOK void __tsan_unaligned_read##bytes(void* a) {                                                    \
      seen(a, bytes, false, false, __builtin_return_address(0));                                               \
    }                                                                                                          \
    GRETA_HOOK void __tsan_unaligned_write##bytes(void* a) {                                                   \
      seen(a, bytes, true, false, __builtin_return_address(0));                                                \
    }                                                                                                          \
    GRETA_HOOK void __tsan_volatile_read##bytes(void* a) {                                                     \
      seen(a, bytes, false, false, __builtin_return_address(0));                                               \
    }                                                                                                          \
    GRETA_HOOK void __tsan_volatile_write##bytes(void* a) { seen(a, bytes, true, false, __builtin_return_address(0)); }
GRETA_PLAIN(1)
GRETA_PLAIN(2)
GRETA_PLAIN(4)
GRETA_PLAIN(8)
GRETA_PLAIN(16)

GRETA_HOOK void __tsan_read_range(void* a, size_t n) { seen(a, n, false, false, __builtin_return_address(0)); }
GRETA_HOOK void __tsan_write_range(void* a, size_t n) { seen(a, n, true, false, __builtin_return_address(0)); }
GRETA_HOOK void __tsan_init() {}
GRETA_HOOK void __tsan_func_entry(void*) {}
GRETA_HOOK void __tsan_func_exit() {}
GRETA_HOOK void __tsan_vptr_update(void**, void*) {}
GRETA_HOOK void __tsan_vptr_read(void**) {}
GRETA_HOOK void __tsan_atomic_thread_fence(int) { std::atomic_thread_fence(std::memory_order_seq_cst); }
GRETA_HOOK void __tsan_atomic_signal_fence(int) { std::atomic_signal_fence(std::memory_order_seq_cst); }

// Atomic operations are replaced by these calls, so they are done here; the strongest order serves for all.
#  define GRETA_RMW(bits, type, name, builtin)                                           \
    GRETA_HOOK type __tsan_atomic##bits##_##name(volatile type* a, type v, int) {        \
      seen(const_cast<type*>(a), sizeof(type), true, true, __builtin_return_address(0)); \
      return builtin(a, v, __ATOMIC_SEQ_CST);                                            \
    }
#  define GRETA_ATOMIC(bits, type)                                                                                     \
    GRETA_HOOK type __tsan_atomic##bits##_load(const volatile type* a, int) {                                          \
      seen(const_cast<type*>(a), sizeof(type), false, true, __builtin_return_address(0));                              \
      return __atomic_load_n(a, __ATOMIC_SEQ_CST);                                                                     \
    }                                                                                                                  \
    GRETA_HOOK void __tsan_atomic##bits##_store(volatile type* a, type v, int) {                                       \
      seen(const_cast<type*>(a), sizeof(type), true, true, __builtin_return_address(0));                               \
      __atomic_store_n(a, v, __ATOMIC_SEQ_CST);                                                                        \
    }                                                                                                                  \
    GRETA_RMW(bits, type, exchange, __atomic_exchange_n)                                                               \
    GRETA_RMW(bits, type, fetch_add, __atomic_fetch_add)                                                               \
    GRETA_RMW(bits, type, fetch_sub, __atomic_fetch_sub)                                                               \
    GRETA_RMW(bits, type, fetch_and, __atomic_fetch_and)                                                               \
    GRETA_RMW(bits, type, fetch_or, __atomic_fetch_or)                                                                 \
    GRETA_RMW(bits, type, fetch_xor, __atomic_fetch_xor)                                                               \
    GRETA_RMW(bits, type, fetch_nand, __atomic_fetch_nand)                                                             \
    GRETA_HOOK int __tsan_atomic##bits##_compare_exchange_strong(volatile type* a, type* expected, type v, int, int) { \
      seen(const_cast<type*>(a), sizeof(type), true, true, __builtin_return_address(0));                               \
      return __atomic_compare_exchange_n(a, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                   \
    }                                                                                                                  \
    GRETA_HOOK int __tsan_atomic##bits##_compare_exchange_weak(volatile type* a, type* expected, type v, int, int) {   \
      seen(const_cast<type*>(a), sizeof(type), true, true, __builtin_return_address(0));                               \
      return __atomic_compare_exchange_n(a, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                   \
    }                                                                                                                  \
    GRETA_HOOK type __tsan_atomic##bits##_compare_exchange_val(volatile type* a, type expected, type v, int, int) {    \
      seen(const_cast<type*>(a), sizeof(type), true, true, __builtin_return_address(0));                               \
      __atomic_compare_exchange_n(a, &expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                         \
      return expected;                                                                                                 \
    }
GRETA_ATOMIC(8, uint8_t)
GRETA_ATOMIC(16, uint16_t)
GRETA_ATOMIC(32, uint32_t)
GRETA_ATOMIC(64, uint64_t)

// Clang calls these for block copies.
GRETA_HOOK void* __tsan_memcpy(void* to, const void* from, size_t n) {
  seen(from, n, false, false, __builtin_return_address(0));
  seen(to, n, true, false, __builtin_return_address(0));
  return std::memcpy(to, from, n);
}
GRETA_HOOK void* __tsan_memmove(void* to, const void* from, size_t n) {
  seen(from, n, false, false, __builtin_return_address(0));
  seen(to, n, true, false, __builtin_return_address(0));
  return std::memmove(to, from, n);
}
GRETA_HOOK void* __tsan_memset(void* to, int value, size_t n) {
  seen(to, n, true, false, __builtin_return_address(0));
  return std::memset(to, value, n);
}

#endif
