/// The process's worker threads, and the teams that callers lease from them.
///
/// Workers persist: they spin for a while after each job, then park on a futex. A team is a caller and the
/// idle workers that it leased for one run. Leases never wait: while other callers (or an outer run, when
/// nested) hold the workers, a team is smaller, down to the caller alone. Kernels promise the same bits for
/// any partition, so this changes time only.
#pragma once
#include "runtime/program.h"
#include <stdint.h>

namespace trellis::runtime {

inline constexpr int max_threads = 512;

/// Makes workers for one more user of `threads` threads. The pool has as many workers as the largest user
/// asks for, and more, up to one per processor, where several users ask. False, and nothing reserved: the
/// system refuses threads.
bool pool_reserve(int threads);
/// Takes a reservation back; workers stay.
void pool_release(int threads);
/// Workers that exist.
int pool_workers();

class Team {
public:
  /// Leases at most threads - 1 idle workers until the end of the scope.
  explicit Team(int threads);
  ~Team();
  Team(const Team &) = delete;
  Team &operator=(const Team &) = delete;

  /// Runs [0, trip) in contiguous chunks of at least `grain` iterations, at most one per thread of the team,
  /// and returns when all are done.
  void run(trellis_kernel kernel, void *const *args, int64_t trip, int64_t grain);
  /// Threads in the team, the caller included.
  int size() const { return count + 1; }

private:
  int count = 0;
  uint16_t leased[max_threads - 1];
};

} // namespace trellis::runtime
