// What reads and writes files: JSON-lines records, checkpoints, runs that resume. Needs nlohmann_json
// (merit::io).
#pragma once

#include "merit/benchmarks/benchmark_files.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/io/write_safetensors.hpp"
#include "merit/merit.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/published_head.hpp"
#include "merit/model/weight_files.hpp"
#include "merit/records/jsonl.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"
#include "merit/tokens/record_files.hpp"
#include "merit/tokens/tokenize.hpp"
#include "merit/train/checkpoint.hpp"
#include "merit/train/stored_examples.hpp"
