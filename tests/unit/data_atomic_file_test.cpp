#include "compiler/data/atomic_file.h"
#include "data_test_files.h"
#include <csignal>
#include <sys/stat.h>
#include <unistd.h>

namespace trellis {
using namespace testing;

TEST(AtomicFile, AppearsAtCommitAndNotBefore) {
  TestFolder f;
  {
    AtomicFile out(f / "a");
    out.write("half");
    EXPECT_FALSE(std::filesystem::exists(f / "a"));
  }
  EXPECT_EQ(f.files(), 0u);
  AtomicFile out(f / "a");
  out.write("0123456789");
  out.seek(2);
  out.write("xy");
  out.commit();
  EXPECT_EQ(bytes_of(f / "a"), "01xy456789");
  EXPECT_EQ(f.files(), 1u);
}

TEST(AtomicFile, KeepsTheModeAndFollowsLinks) {
  TestFolder f;
  f.put("real", "old");
  ::chmod((f / "real").c_str(), 0640);
  ASSERT_EQ(::symlink("real", (f / "link").c_str()), 0);
  write_file(f / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(f / "link"));
  EXPECT_EQ(bytes_of(f / "real"), "new");
  struct stat info{};
  ::stat((f / "real").c_str(), &info);
  EXPECT_EQ(info.st_mode & 0777, 0640u);

  ASSERT_EQ(::symlink("later", (f / "dangling").c_str()), 0);
  write_file(f / "dangling", "made");
  EXPECT_EQ(bytes_of(f / "later"), "made");

  mode_t mask = ::umask(022);
  AtomicFile program(f / "program", true);
  program.commit();
  ::umask(mask);
  ::stat((f / "program").c_str(), &info);
  EXPECT_EQ(info.st_mode & 0777, 0755u);
}

TEST(AtomicFile, ErrorsNameTheTarget) {
  TestFolder f;
  EXPECT_EQ(error_of([&] { write_file(f / "no/a", ""); }),
            (f / "no/a") + ": error: cannot create a file in its folder: No such file or directory");
  EXPECT_EQ(error_of([&] { write_file(f / ".", ""); }), (f / ".") + ": error: cannot write: Is a directory");
  expect_in("the file name is empty", error_of([&] { write_file("", ""); }));
  f.put("file", "");
  expect_in("Not a directory", error_of([&] { write_file(f / "file/a", ""); }));
  expect_in("File name too long", error_of([&] { write_file(f / std::string(300, 'a'), "x"); }));
  write_file(f / std::string(255, 'a'), "x");
  EXPECT_EQ(f.files(), 2u);
}

TEST(AtomicFile, FullDiskLeavesTheOldFileAndNoOther) {
  TestFolder f;
  f.put("a", "old");
  {
    FileSizeLimit limit(1000); // and SIGXFSZ does not end the process
    EXPECT_EQ(error_of([&] { write_file(f / "a", std::string(2000, 'x')); }),
              (f / "a") + ": error: cannot write: File too large");
  }
  EXPECT_EQ(bytes_of(f / "a"), "old");
  EXPECT_EQ(f.files(), 1u);
  EXPECT_EQ(error_of([] { write_file("/dev/full", "x"); }), "/dev/full: error: cannot write: No space left on device");
}

TEST(AtomicFile, DevicesAndPipesAreWrittenInPlace) {
  write_file("/dev/null", "x");
  struct stat info{};
  ::stat("/dev/null", &info);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  write_file("/dev/fd/" + std::to_string(ends[1]), "through");
  char got[8] = {};
  EXPECT_EQ(::read(ends[0], got, 7), 7);
  EXPECT_STREQ(got, "through");
  ::close(ends[0]), ::close(ends[1]);
}

} // namespace trellis
