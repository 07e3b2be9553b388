// The pool: partitions, fork and join, teams beside and inside one another, the floating-point environment.
#include "runtime/fpenv.h"
#include "runtime/pool.h"
#include "runtime_fixture.h"
#include <algorithm>
#include <atomic>
#include <gtest/gtest.h>
#include <mutex>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace trellis::runtime;

namespace {

struct Reservation {
  int threads;
  explicit Reservation(int threads) : threads(threads) { EXPECT_TRUE(pool_reserve(threads)); }
  ~Reservation() { pool_release(threads); }
};

std::mutex chunks_mutex;
std::vector<std::pair<int64_t, int64_t>> chunks;

void record_chunk(void *const *, int64_t begin, int64_t end) {
  std::lock_guard lock(chunks_mutex);
  chunks.emplace_back(begin, end);
}

void count_iterations(void *const *args, int64_t begin, int64_t end) {
  auto *counts = static_cast<int *>(args[0]);
  for (int64_t i = begin; i < end; ++i) ++counts[i];
}

TEST(RuntimePool, PartitionsIntoEvenContiguousChunks) {
  for (int threads : {1, 2, 3, 8}) {
    Reservation reservation(threads);
    for (int64_t trip : {0, 1, 2, 3, 7, 17, 65, 1000})
      for (int64_t grain : {0, 1, 4, 100}) {
        chunks.clear();
        Team(threads).run(record_chunk, nullptr, trip, grain);
        std::sort(chunks.begin(), chunks.end());
        SCOPED_TRACE(testing::Message() << threads << " threads, trip " << trip << ", grain " << grain);
        int64_t wanted =
            trip == 0 ? 0 : std::max<int64_t>(1, std::min<int64_t>(threads, trip / std::max<int64_t>(grain, 1)));
        ASSERT_EQ(static_cast<int64_t>(chunks.size()), wanted);
        int64_t at = 0, least = INT64_MAX, most = 0;
        for (auto [begin, end] : chunks) {
          EXPECT_EQ(begin, at);
          at = end;
          least = std::min(least, end - begin), most = std::max(most, end - begin);
        }
        EXPECT_EQ(at, trip);
        if (!chunks.empty()) {
          EXPECT_LE(most - least, 1);
          EXPECT_GE(least, std::min(trip, grain));
        }
      }
  }
}

TEST(RuntimePool, EveryIterationRunsOnceInEveryRegion) {
  for (int threads : {1, 2, 3, 8}) {
    Reservation reservation(threads);
    Team team(threads);
    EXPECT_EQ(team.size(), threads);
    std::vector<int> counts(65);
    void *args[] = {counts.data()};
    for (int region = 1; region <= 2000; ++region) {
      team.run(count_iterations, args, 65, 1);
      ASSERT_EQ(std::count(counts.begin(), counts.end(), region), 65);
    }
  }
}

TEST(RuntimePool, WakesParkedWorkers) {
  Reservation reservation(3);
  std::vector<int> counts(3);
  void *args[] = {counts.data()};
  for (int region = 1; region <= 20; ++region) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2)); // ten times the longest spin
    Team(3).run(count_iterations, args, 3, 1);
    ASSERT_EQ(counts, std::vector<int>(3, region));
  }
}

TEST(RuntimePool, SleepsUntilALongChunkIsDone) {
  Reservation reservation(2);
  static std::atomic<int> done;
  done = 0;
  auto slow = [](void *const *, int64_t begin, int64_t) {
    if (begin > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ++done;
  };
  for (int region = 1; region <= 5; ++region) {
    Team(2).run(slow, nullptr, 2, 1);
    ASSERT_EQ(done.load(), 2 * region);
  }
}

TEST(RuntimePool, TeamsShareTheWorkersThatExist) {
  Reservation reservation(4);
  int workers = pool_workers();
  ASSERT_GE(workers, 3);
  Team all(workers + 1);
  EXPECT_EQ(all.size(), workers + 1);
  {
    Team none(4); // every worker is leased: the caller works alone, at once
    EXPECT_EQ(none.size(), 1);
    std::vector<int> counts(65);
    void *args[] = {counts.data()};
    none.run(count_iterations, args, 65, 1);
    EXPECT_EQ(counts, std::vector<int>(65, 1));
  }
  EXPECT_EQ(pool_workers(), workers);
}

TEST(RuntimePool, ConcurrentTeamsAreRight) {
  Reservation reservation(3);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&, caller] {
      std::vector<int> counts(17);
      void *args[] = {counts.data()};
      for (int run = 1; run <= 300; ++run) {
        Team team(1 + caller % 3);
        team.run(count_iterations, args, 17, 1);
        team.run(count_iterations, args, 17, 1);
        wrong += std::count(counts.begin(), counts.end(), 2 * run) != 17;
      }
    });
  for (auto &caller : callers) caller.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(RuntimePool, NestedTeamsAreRight) {
  Reservation reservation(3);
  static std::atomic<int> total;
  total = 0;
  auto outer = [](void *const *, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      Team(3).run([](void *const *, int64_t b, int64_t e) { total += static_cast<int>(e - b); }, nullptr, 10, 1);
  };
  Team(3).run(outer, nullptr, 6, 1);
  EXPECT_EQ(total.load(), 60);
}

TEST(RuntimePool, AForkedChildWorksWithoutItsParentsWorkers) {
  Reservation reservation(3);
  std::vector<int> counts(30);
  void *args[] = {counts.data()};
  Team(3).run(count_iterations, args, 30, 1);
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    for (int i = 0; i < 3; ++i) Team(3).run(count_iterations, args, 30, 1);
    bool right = std::count(counts.begin(), counts.end(), 4) == 30;
#if !defined(__SANITIZE_THREAD__) // which cannot start threads after a fork
    right = right && pool_reserve(2) && pool_workers() >= 1;
    Team team(2);
    team.run(count_iterations, args, 30, 1);
    right = right && team.size() == 2 && std::count(counts.begin(), counts.end(), 5) == 30;
#endif
    _exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/// Returns when `count` chunks of a region have got here: each then has a thread of its own, none is taken
/// back.
std::atomic<int> arrived;
void meet(int count) {
  int round = arrived++ / count + 1;
  while (arrived < round * count) std::this_thread::yield();
}

TEST(RuntimePool, EachChunkMayHaveItsOwnThread) {
  static std::mutex mutex;
  static std::vector<std::thread::id> ids;
  for (int threads : {2, 3, 8}) {
    Reservation reservation(threads);
    arrived = 0;
    ids.clear();
    auto kernel = [](void *const *args, int64_t, int64_t) {
      meet(*static_cast<int *>(args[0]));
      std::lock_guard lock(mutex);
      ids.push_back(std::this_thread::get_id());
    };
    void *args[] = {&threads};
    Team(threads).run(kernel, args, threads, 1);
    std::sort(ids.begin(), ids.end());
    EXPECT_EQ(std::unique(ids.begin(), ids.end()) - ids.begin(), threads);
  }
}

// 2^-126 / 2 is a denormal: 0 where denormals are flushed.
std::atomic<int> flushed;
volatile float smallest = 0x1p-126f;
void halve_smallest(void *const *, int64_t, int64_t) {
  meet(3);
  flushed += smallest * 0.5f == 0 || (fp_read() & fp_control_bits) != fp_wanted;
}
#if defined(__x86_64__)
constexpr uint64_t flush_bits = 0x8040; // FTZ, DAZ
#else
constexpr uint64_t flush_bits = 1 << 24; // FZ
#endif
void spoil(void *const *, int64_t, int64_t) {
  meet(3);
  fp_write(fp_wanted | flush_bits);
}

TEST(RuntimePool, EveryThreadKeepsDenormals) {
  uint64_t before = fp_read();
  arrived = 0;
  std::thread([&] { // a caller whose environment, which its workers inherit, is another
    fp_write(before | flush_bits);
    fixture::OneCall program(halve_smallest, 3);
    fixture::Context context = fixture::create(program, 3);
    EXPECT_EQ(smallest * 0.5f, 0.0f); // the check can fail
    flushed = 0;
    for (int i = 0; i < 10; ++i) EXPECT_EQ(trellis_run_raw(context.get(), nullptr, nullptr), TRELLIS_OK);
    EXPECT_EQ(flushed.load(), 0);
    EXPECT_EQ(fp_read() & fp_control_bits, (before | flush_bits) & fp_control_bits);
  })
      .join();
}

TEST(RuntimePool, WorkersRecoverFromAKernelThatChangesTheEnvironment) {
  uint64_t before = fp_read();
  arrived = 0;
  fixture::OneCall spoiling(spoil, 3), program(halve_smallest, 3);
  fixture::Context first = fixture::create(spoiling, 3), second = fixture::create(program, 3);
  for (int i = 0; i < 10; ++i) {
    trellis_run_raw(first.get(), nullptr, nullptr);
    EXPECT_EQ(fp_read(), before);
    flushed = 0;
    trellis_run_raw(second.get(), nullptr, nullptr);
    EXPECT_EQ(flushed.load(), 0);
  }
}

} // namespace
