// Reads the tokenizer of a model folder or a GGUF file and saves it to another folder, as a saved model has
// it. For vocabularies.py beside it.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>

#include "merit/io/gguf.hpp"
#include "merit/text/text_files.hpp"

int main(int argc, char** argv) {
  try {
    if (argc != 3) throw merit::UsageError("usage: save_text FOLDER|FILE.gguf TO");
    const std::filesystem::path from = argv[1];
    const std::optional<merit::TextFiles> text =
        from.extension() == ".gguf" ? std::optional(merit::text_files_of_gguf(merit::GgufFile(from)))
                                    : merit::read_text_files(from);
    if (!text) {
      throw merit::DataError(merit::concat(from.string(), ": found none of ", merit::text_files_looked_for));
    }
    for (const std::string& name : merit::save_text_files(*text, argv[2])) std::printf("%s\n", name.c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
