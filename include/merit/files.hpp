// What reads and writes files: JSON-lines records, checkpoints, runs that resume. Needs nlohmann_json
// (merit::io).
#pragma once

#include "merit/data/benchmark_files.hpp"
#include "merit/data/jsonl.hpp"
#include "merit/data/record_files.hpp"
#include "merit/data/tokenize.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/io/write_safetensors.hpp"
#include "merit/merit.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/published_head.hpp"
#include "merit/model/weight_files.hpp"
#include "merit/text/any_tokenizer.hpp"
#include "merit/train/checkpoint.hpp"
