#include "runtime/trellis.h"
#include <gtest/gtest.h>
TEST(Runtime, Version) { EXPECT_EQ(trellis_api_version(), 1000); }
