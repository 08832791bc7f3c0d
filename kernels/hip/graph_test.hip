// Graphs: the bits of eager launches, as often as replayed; what must not be recorded is refused; the ring and the logs
// know what ran.
#include <gtest/gtest.h>

#include "kernels/hip/graph.hpp"
#include "kernels/hip/launch.hpp"

namespace greta::hip {
namespace {

constexpr unsigned kThreads = 64;

/// x[i] = factor * x[i] + *addend
__global__ void step_kernel(float* x, const float* addend, float factor) {
  x[threadIdx.x] = fmaf(factor, x[threadIdx.x], addend[0]);
}
void step(Stream& stream, DeviceBuffer<float>& x, const DeviceBuffer<float>& addend, float factor) {
  launch(stream, {"graph_step", dim3(1), dim3(kThreads), 0, 1}, &step_kernel, inout("x", x.view(), kThreads),
         in("addend", addend.cview(), 1), factor);
}

struct Buffers {
  Stream stream{"graphs"};
  DeviceBuffer<float> x{"x", kThreads}, addend{"addend", 1};
  Buffers() {
    std::vector<float> values(kThreads);
    for (unsigned i = 0; i < kThreads; ++i) values[i] = static_cast<float>(i);
    x.upload(stream, values);
    set(1.0f);
  }
  void set(float v) { addend.upload(stream, std::vector<float>{v}); }
};

std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument);
    return error.what();
  }
  return "accepted";
}

TEST(Graph, HostSaysThatItHasNone) {
  if (Graph::supported()) GTEST_SKIP() << "this platform has graphs";
  Buffers b;
  Graph graph("decode");
  const std::string text = refusal([&] { graph.record(b.stream, [&] { step(b.stream, b.x, b.addend, 2.0f); }); });
  EXPECT_NE(text.find("decode"), std::string::npos) << text;
  EXPECT_NE(text.find("eagerly"), std::string::npos) << text;
  EXPECT_FALSE(static_cast<bool>(graph));
  EXPECT_NE(refusal([&] { graph.replay(b.stream); }).find("nothing was recorded"), std::string::npos);
}

TEST(Graph, ReplaysReadTheirBuffersAnew) {
  if (!Graph::supported()) GTEST_SKIP() << "the host platform has no graphs";
  Buffers eager, replayed;
  Graph graph("twice");
  graph.record(replayed.stream, [&] {
    step(replayed.stream, replayed.x, replayed.addend, 2.0f);
    step(replayed.stream, replayed.x, replayed.addend, 0.5f);
  });
  EXPECT_EQ(graph.launches(), 2u);
  EXPECT_EQ(replayed.x.to_host(replayed.stream)[3], 3.0f) << "recording runs nothing";
  for (const float addend : {1.0f, -4.0f, 0.25f}) {
    eager.set(addend), replayed.set(addend);
    step(eager.stream, eager.x, eager.addend, 2.0f);
    step(eager.stream, eager.x, eager.addend, 0.5f);
    LaunchLog log;
    graph.replay(replayed.stream);
    EXPECT_EQ(replayed.x.to_host(replayed.stream), eager.x.to_host(eager.stream)) << addend;
    ASSERT_EQ(log.rows().size(), 1u) << "two launches of one kernel and shape";
    EXPECT_EQ(log.rows()[0].count, 2u);
    EXPECT_EQ(log.rows()[0].kernel, "graph_step");
    EXPECT_EQ(recent_launches().back().kernel, "graph twice (2 launches)");
  }
}

TEST(Graph, ASecondStreamTakesPart) {
  // Eagerly everywhere, recorded where there are graphs: x on the first stream and y on the second, then x again from
  // y.
  Buffers a, b;
  const auto steps = [&] {
    step(a.stream, a.x, a.addend, 2.0f);
    start_after(b.stream, a.stream);
    step(b.stream, b.x, a.addend, 3.0f);
    step(a.stream, a.x, a.addend, 0.5f);
    start_after(a.stream, b.stream);
    launch(a.stream, {"graph_step", dim3(1), dim3(kThreads), 0, 1}, &step_kernel, inout("x", a.x.view(), kThreads),
           in("addend", b.x.cview().slice(7, 1), 1), 1.0f);
  };
  const auto want = [](unsigned i) {
    return (2.0f * static_cast<float>(i) + 1.0f) * 0.5f + 1.0f + (3.0f * 7.0f + 1.0f);
  };
  if (Graph::supported()) {
    Graph graph("forked");
    graph.record(a.stream, steps);
    EXPECT_EQ(graph.launches(), 4u);
    graph.replay(a.stream);
  } else {
    steps();
  }
  const auto x = a.x.to_host(a.stream);
  for (unsigned i = 0; i < kThreads; ++i) EXPECT_EQ(x[i], want(i)) << i;
}

TEST(Graph, WhatIsNoLaunchIsRefused) {
  if (!Graph::supported()) GTEST_SKIP() << "the host platform has no graphs";
  Buffers b;
  Graph graph("bad");
  EXPECT_NE(refusal([&] { graph.record(b.stream, [] {}); }).find("nothing was launched"), std::string::npos);
  EXPECT_NE(refusal([&] {
              graph.record(b.stream, [&] {
                step(b.stream, b.x, b.addend, 2.0f);
                b.set(3.0f);
              });
            }).find("copy_to_device while graph 'bad'"),
            std::string::npos);
  EXPECT_NE(refusal([&] { graph.record(b.stream, [&] { DeviceBuffer<float> more("more", 4); }); }).find("'bad'"),
            std::string::npos);
  EXPECT_NE(refusal([&] {
              graph.record(b.stream, [&] {
                launch(b.stream, {"graph_step", dim3(1), dim3(kThreads), 0, 1}, &step_kernel,
                       inout("x", b.x.view(), kThreads + 1), in("addend", b.addend.cview(), 1), 1.0f);
              });
            }).find("'x'"),
            std::string::npos)
      << "the checks of a launch are made when it is recorded";
  EXPECT_FALSE(static_cast<bool>(graph));
  step(b.stream, b.x, b.addend, 2.0f);  // the stream works as before
  EXPECT_EQ(b.x.to_host(b.stream)[1], 3.0f);
}

}  // namespace
}  // namespace greta::hip
