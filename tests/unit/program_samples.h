/// Small programs built by hand, for tests below the graph.
#pragma once
#include "compiler/loops/program.h"

namespace trellis::samples {

inline ProgramTensor tensor(std::string name, DType t, std::vector<int64_t> dims, std::optional<Layout> layout = {}) {
  ProgramTensor p;
  p.name = std::move(name), p.type = {t, shape_of(dims)};
  p.layout = layout ? *layout : Layout::row_major(dims);
  return p;
}

inline Tensor filled(std::vector<int64_t> dims, std::vector<float> v) {
  return Tensor::of<float>(DType::f32, std::move(dims), v);
}

/// out[i] = a[i] + b[i], a parallel loop of rows of `width`.
inline Kernel add_kernel(int64_t rows, int64_t width) {
  Kernel k;
  k.name = "add";
  int a = k.add_buffer({"a", DType::f32, Space::slot, rows * width}),
      b = k.add_buffer({"b", DType::f32, Space::slot, rows * width}),
      o = k.add_buffer({"o", DType::f32, Space::slot, rows * width});
  IndexVar i = k.var(rows), j = k.var(width);
  Index at = Index(i) * width + Index(j);
  std::vector<Stmt> inner{make_store(o, at, k.op(Op::add, {k.load(a, at), k.load(b, at)}, DType::f32))};
  std::vector<Stmt> row{make_loop(Stmt::Loop::vector, j, std::move(inner), 8)};
  k.body.push_back(make_loop(Stmt::Loop::parallel, i, std::move(row)));
  return k;
}

/// y = x + w + c, and the state w becomes y; w is stored transposed, c a constant.
inline Program accumulate() {
  Program p;
  p.name = "accumulate";
  std::vector<int64_t> dims{3, 5};
  p.inputs = {tensor("x", DType::f32, dims)};
  p.outputs = {tensor("y", DType::f32, dims)};
  p.states = {tensor("w", DType::f32, dims, Layout::permuted(dims, {1, 0}))};
  p.constants = {tensor("c", DType::f32, dims)};
  std::vector<float> c;
  for (int i = 0; i < 15; ++i) c.push_back(float(100 * i));
  p.constant_data = {filled({15}, c)};
  using K = ProgramSlot::Kind;
  p.slots = {{K::input, 0, 0, 60},
             {K::constant, 0, 0, 60},
             {K::arena, 0, 64, 60},
             {K::state, 0, 0, 60},
             {K::output, 0, 0, 60}};
  p.arena_bytes = 128;
  p.kernels.push_back(add_kernel(3, 5));
  { // w^T stays where it is; y = t + w
    Kernel k;
    k.name = "update";
    int t = k.add_buffer({"t", DType::f32, Space::slot, 15}), w = k.add_buffer({"w", DType::f32, Space::slot, 15}),
        y = k.add_buffer({"y", DType::f32, Space::slot, 15});
    IndexVar i = k.var(3), j = k.var(5);
    Index rows = Index(i) * 5 + Index(j), columns = Index(j) * 3 + Index(i);
    const Expr *sum = k.op(Op::add, {k.load(t, rows), k.load(w, columns)}, DType::f32);
    std::vector<Stmt> body;
    body.push_back(make_store(y, rows, sum));
    body.push_back(make_store(w, columns, k.load(y, rows)));
    std::vector<Stmt> loops{make_loop(Stmt::Loop::serial, j, std::move(body))};
    k.body.push_back(make_loop(Stmt::Loop::serial, i, std::move(loops)));
    p.kernels.push_back(std::move(k));
  }
  p.kernels.push_back(add_kernel(3, 5)); // equal to the first: emitted once
  ProgramCall first, second;
  first.kernel = 2, first.name = "x + c", first.args = {0, 1, 2};
  second.kernel = 1, second.name = "update", second.args = {2, 3, 4};
  p.calls = {first, second};
  return p;
}

} // namespace trellis::samples
