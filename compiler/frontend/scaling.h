// Models that were trained on a table, whose columns were scaled: the checkpoint keeps by what, and what is made with that
// checkpoint scales its samples itself, so that it takes rows as they are.
#pragma once
#include "compiler/data/dataset.h"
#include "compiler/data/safetensors.h"
#include "compiler/frontend/model_file.h"
#include <optional>

namespace trellis {

/// What a file of values says about the samples that they were trained on; throws a CompileError that names the file where
/// that is damaged.
std::optional<Scaling> scaling_of(const SafeTensors &file, const std::string &path);
void note_scaling(SafeTensors &file, const Scaling &scaling);

/// A copy of `g`, whose dims are bound, in which the input of samples becomes (x - mean) / deviation with the bits that
/// apply_scaling gives. Throws where its rows are no such columns; `source` is the file that says so.
std::unique_ptr<Graph> scale_samples(const Graph &g, const Scaling &scaling, const std::string &source);
/// The same of every graph that is bound.
Binder scale_samples(Binder model, Scaling scaling, std::string source);
/// Throws where scale_samples would, as far as the dims of `g` are known.
void require_columns(const Graph &g, const Scaling &scaling, const std::string &source);

} // namespace trellis
