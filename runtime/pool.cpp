#include "runtime/pool.h"
#include "runtime/fpenv.h"
#include <atomic>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace trellis::runtime {
namespace {

// A worker's mailbox is one word that only the lease holder (h) and the worker (w) move:
//   idle -> posted (h); posted -> running (w) or back to idle (h takes an unstarted chunk back and runs it
//   itself); running -> awaited (h sleeps until it is done); running, awaited -> idle (w); idle -> parked (w
//   sleeps); parked -> posted (h, with a wake).
// One word means no lost wake-ups and no fences to reason about. A chunk is taken back whenever its worker is
// late, so a region never waits for a thread that the system has not scheduled, or that a fork() has left
// behind.
enum : uint32_t { idle, posted, running, awaited, parked };

struct alignas(128) Worker { // 128: neighbouring lines are fetched in pairs
  std::atomic<uint32_t> state;
  trellis_kernel kernel; // the job: written by the lease holder while the worker is idle or parked
  void *const *args;
  int64_t begin, end;
  pthread_t thread;
};

constexpr int max_workers = max_threads - 1, words = max_threads / 64;
constexpr uint32_t spin_long_ns = 200'000; // longer than the gap between two training steps
constexpr uint32_t spin_short_ns = 2'000;  // more threads than processors: let others run

Worker workers[max_workers];
std::atomic<uint64_t> free_workers[words]; // bit set: exists and is not leased
std::atomic<int> worker_count;
std::atomic<int> busy_threads; // members of all teams now
std::atomic<int> processors;
std::atomic<bool> stopping;

pthread_mutex_t grow_mutex = PTHREAD_MUTEX_INITIALIZER;
int64_t reserved; // sum over users of threads - 1; under grow_mutex
pid_t owner;      // the process that the workers run in; under grow_mutex

void futex_wait(std::atomic<uint32_t> &word, uint32_t value) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void futex_wake(std::atomic<uint32_t> &word) { syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); }

uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  __asm__ volatile("isb"); // about as long as x86's pause; yield is a no-op on most cores
#endif
}

/// Spins while `word` holds `value`, for `ns` at most; returns what it holds at the end.
uint32_t spin_while(const std::atomic<uint32_t> &word, uint32_t value, uint32_t ns) {
  uint64_t start = 0;
  for (;;) {
    for (int i = 0; i < 32; ++i) {
      uint32_t seen = word.load(std::memory_order_acquire);
      if (seen != value) return seen;
      relax();
    }
    uint64_t now = now_ns();
    if (start == 0) start = now;
    if (now - start >= ns) return word.load(std::memory_order_acquire);
  }
}

/// How long to spin before sleeping, given how crowded the processors are now.
uint32_t spin_ns() {
  bool fits = busy_threads.load(std::memory_order_relaxed) <= processors.load(std::memory_order_relaxed);
  return fits ? spin_long_ns : spin_short_ns;
}

void *work(void *self) {
  Worker &worker = *static_cast<Worker *>(self);
  while (!stopping.load()) {
    uint32_t state = spin_while(worker.state, idle, spin_ns());
    if (state == idle) {
      // The second look at `stopping` pairs with pool_stop, which sets it and then looks for parked workers.
      if (worker.state.compare_exchange_strong(state, parked))
        while (worker.state.load() == parked && !stopping.load()) futex_wait(worker.state, parked);
      continue;
    }
    if (state != posted || !worker.state.compare_exchange_strong(state, running)) continue;
    fp_ensure();
    worker.kernel(worker.args, worker.begin, worker.end);
    if (worker.state.exchange(idle) == awaited) futex_wake(worker.state);
  }
  return nullptr;
}

int count_processors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? static_cast<int>(online) : 1;
}

bool start_worker(int index) {
  Worker &worker = workers[index];
  worker.state.store(idle);
  sigset_t all, old; // the embedder's signals are for the embedder's threads
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  bool ok = pthread_create(&worker.thread, nullptr, work, &worker) == 0;
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  if (!ok) return false;
  pthread_setname_np(worker.thread, "trellis");
  worker_count.store(index + 1);
  free_workers[index / 64].fetch_or(uint64_t{1} << (index % 64));
  return true;
}

/// The child of a fork has none of its parent's threads: it starts with an empty pool.
void forget_parents_workers() {
  pid_t self = getpid();
  if (owner == self) return;
  owner = self;
  for (auto &word : free_workers) word.store(0);
  worker_count.store(0);
  busy_threads.store(0);
}

/// Before the code is unmapped (dlclose) or the process ends. A run that is still going on another thread
/// stays right: it takes its chunks back.
__attribute__((destructor)) void pool_stop() {
  pthread_mutex_lock(&grow_mutex);
  int count = owner == getpid() ? worker_count.load() : 0;
  for (auto &word : free_workers) word.store(0);
  worker_count.store(0);
  stopping.store(true);
  for (int i = 0; i < count; ++i) {
    uint32_t expected = parked;
    if (workers[i].state.compare_exchange_strong(expected, idle)) futex_wake(workers[i].state);
    if (!pthread_equal(workers[i].thread, pthread_self())) pthread_join(workers[i].thread, nullptr);
  }
  pthread_mutex_unlock(&grow_mutex);
}

} // namespace

bool pool_reserve(int threads) {
  pthread_mutex_lock(&grow_mutex);
  forget_parents_workers();
  processors.store(count_processors());
  int64_t target = reserved + threads - 1;
  if (target > processors.load() - 1) target = processors.load() - 1;
  if (target < threads - 1) target = threads - 1;
  if (target > max_workers) target = max_workers;
  bool ok = true;
  while (ok && worker_count.load() < target && !stopping.load()) ok = start_worker(worker_count.load());
  // Only what this user asked for is owed to it; sharing less is not an error.
  ok = ok || worker_count.load() >= threads - 1;
  if (ok) reserved += threads - 1;
  pthread_mutex_unlock(&grow_mutex);
  return ok;
}

void pool_release(int threads) {
  pthread_mutex_lock(&grow_mutex);
  reserved -= threads - 1;
  pthread_mutex_unlock(&grow_mutex);
}

int pool_workers() { return worker_count.load(); }

Team::Team(int threads) {
  int wanted = threads - 1;
  for (int w = 0; w < words && count < wanted; ++w) {
    uint64_t seen = free_workers[w].load(std::memory_order_relaxed), taken;
    do { // the lowest free workers: those that ran last are the likeliest to be spinning still
      taken = 0;
      uint64_t left = seen;
      for (int n = count; left != 0 && n < wanted; ++n, left &= left - 1) taken |= left & (0 - left);
    } while (taken != 0 && !free_workers[w].compare_exchange_weak(seen, seen & ~taken, std::memory_order_acquire));
    for (; taken != 0; taken &= taken - 1) leased[count++] = static_cast<uint16_t>(w * 64 + __builtin_ctzll(taken));
  }
  busy_threads.fetch_add(size(), std::memory_order_relaxed);
}

Team::~Team() {
  busy_threads.fetch_sub(size(), std::memory_order_relaxed);
  if (stopping.load()) return;
  for (int i = 0; i < count;) {
    int w = leased[i] / 64;
    uint64_t bits = 0;
    for (; i < count && leased[i] / 64 == w; ++i) bits |= uint64_t{1} << (leased[i] % 64);
    free_workers[w].fetch_or(bits, std::memory_order_release);
  }
}

void Team::run(trellis_kernel kernel, void *const *args, int64_t trip, int64_t grain) {
  if (trip <= 0) return;
  int64_t chunks = grain > 1 ? trip / grain : trip;
  if (chunks > size()) chunks = size();
  if (chunks <= 1) return kernel(args, 0, trip);

  int helpers = static_cast<int>(chunks) - 1;
  int64_t each = trip / chunks, longer = trip % chunks; // the first `longer` chunks have one iteration more
  int64_t own_end = each + (longer > 0), begin = own_end;
  for (int i = 0; i < helpers; ++i) {
    Worker &worker = workers[leased[i]];
    worker.kernel = kernel;
    worker.args = args;
    worker.begin = begin;
    worker.end = begin += each + (i + 1 < longer);
    if (worker.state.exchange(posted) == parked) futex_wake(worker.state);
  }
  kernel(args, 0, own_end);
  for (int i = helpers; i-- > 0;) {
    Worker &worker = workers[leased[i]];
    uint32_t state = worker.state.load(std::memory_order_relaxed);
    if (state == posted && worker.state.compare_exchange_strong(state, idle)) kernel(args, worker.begin, worker.end);
  }
  for (int i = 0; i < helpers; ++i) {
    Worker &worker = workers[leased[i]];
    uint32_t state = spin_while(worker.state, running, spin_ns());
    if (state == running && worker.state.compare_exchange_strong(state, awaited))
      while (worker.state.load() == awaited) futex_wait(worker.state, awaited);
  }
}

} // namespace trellis::runtime
