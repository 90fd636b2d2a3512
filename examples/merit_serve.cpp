// Serves a saved reward model over HTTP: scores, reranking, rewards for RL trainers.
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <thread>

#include "command_line/open_flags.hpp"
#include "merit/core/visible.hpp"
#include "merit/io/file.hpp"
#include "merit/run/scorer.hpp"
#include "merit/serve/http_server.hpp"
#include "merit/serve/scoring_api.hpp"

namespace {

constexpr const char* name = "merit_serve";

std::atomic<int> asked_to_end = 0;  // times

void require(merit::Index value, const char* option, merit::Index least, merit::Index most) {
  if (value < least)
    throw merit::ConfigError(merit::concat(option, " is ", value, ", expected at least ", least));
  if (value > most)
    throw merit::ConfigError(merit::concat(option, " is ", value, ", expected at most ", most));
}

void check_key(const std::string& key, const std::string& where) {
  if (key.empty()) throw merit::DataError(where + ": found no key, expected one");
  for (const char c : key) {
    if (static_cast<unsigned char>(c) < ' ' || c == 127)
      throw merit::DataError(where + ": found a key of several lines, expected one that a header can hold");
  }
}

int run(int argc, char** argv) {
  programs::CommandLine line(
      name,
      "Serves a saved reward model over HTTP, on this machine alone unless --host says otherwise.\n\n"
      "  POST /score        records as merit_score reads them (one, or several in \"records\"), conversations in\n"
      "                     \"messages\", or \"text_1\" and \"text_2\" as vLLM's clients send them\n"
      "  POST /rerank       \"query\" and \"documents\" (Jina, Cohere, vLLM; also /v1/rerank and /v2/rerank), or \"texts\"\n"
      "                     (Text Embeddings Inference)\n"
      "  POST /classify, /pooling    \"input\" or \"messages\": probabilities; scores of tokens or steps\n"
      "  POST /get_reward   \"query\", texts with their prompts (OpenRLHF)\n"
      "  POST /rewards      \"rollouts\": terminal or dense rewards; with \"values\" advantages and returns\n"
      "  GET  /health, /metrics (Prometheus), /v1/models\n\n"
      "Each score comes as the head gives it (score) and by the model's card (calibrated). What cannot be scored is an\n"
      "error that says why; what a limit on length cut is marked. Requests that come together are computed together.\n"
      "Ctrl-C (or SIGTERM) takes no more requests, after --drain seconds in which /health says so, answers those that\n"
      "came, and ends.\n"
      "Exit codes: 0 done, 1 data, files or the network, 2 options.\n");
  std::string model, api_key_file;
  programs::OpenFlags open_flags;
  merit::ServeOptions options;
  merit::HttpOptions http;
  std::uint16_t threads = 0, port = 8000;
  merit::Index keep_prompts = 0, max_wait = 2, time_limit = 60, request_time = 30, drain = 0;
  line.text("--model", model, "DIR|FILE", "folder of a model, or a GGUF file");
  line.text("--host", http.host, "ADDRESS", "the address to listen on; 0.0.0.0: all of this machine");
  line.number("--port", port, "0: any that is free, which is said");
  line.text("--served-name", options.name, "NAME", "what requests call the model; the name of its folder");
  line.text(
      "--api-key-file", api_key_file, "FILE",
      "a file with a key that requests must send (Authorization: Bearer KEY); without it MERIT_API_KEY of the environment, "
      "and none where that is not set either");
  line.number("--batch-tokens", options.batch_tokens, "tokens computed at once, which bounds the memory");
  line.number(
      "--keep-prompts", keep_prompts,
      "megabytes for what was computed of prompts, for those that come again: conversations that go on, answers one by one");
  line.number("--max-wait", max_wait, "milliseconds that a batch that is not full waits for more requests");
  line.number("--max-waiting", options.queue.max_waiting,
              "records that may wait; more are refused (429) with when to come again");
  line.number("--max-records", options.max_records, "completions in one request");
  line.number("--max-body", http.max_body, "bytes of one request");
  line.number("--time-limit", time_limit, "seconds that a request may wait for its scores (then 504)");
  line.number("--request-time", request_time, "seconds in which a request must have arrived whole");
  line.number(
      "--drain", drain,
      "seconds after SIGTERM in which requests are still taken, while /health is 503 so that a load balancer sends "
      "no more; a second signal ends them");
  line.number("--connections", http.connections, "connections that are answered side by side");
  programs::declare(line, open_flags);
  line.number("--threads", threads, "0: all; the scores do not depend on it");
  line.parse(argc, argv);
  if (model.empty())
    throw merit::ConfigError("--model is missing: the folder or GGUF file of the model to serve");
  constexpr merit::Index any = std::numeric_limits<merit::Index>::max(), year = 365 * 24 * 3600;
  require(options.batch_tokens, "--batch-tokens", 1, any);
  require(keep_prompts, "--keep-prompts", 0, any >> 20);
  require(max_wait, "--max-wait", 0, 1000 * year);
  require(options.queue.max_waiting, "--max-waiting", 1, any);
  require(options.max_records, "--max-records", 1, any);
  require(http.max_body, "--max-body", 1, any);
  require(time_limit, "--time-limit", 1, year);
  require(request_time, "--request-time", 1, year);
  require(drain, "--drain", 0, year);
  require(http.connections, "--connections", 1, 65536);
  if (http.host.empty()) throw merit::ConfigError("--host is empty, expected an address, such as 127.0.0.1");
  http.port = port;
  options.kept_bytes = keep_prompts << 20;
  http.request_time = std::chrono::seconds(request_time);
  options.queue.gather = std::chrono::milliseconds(max_wait);
  options.time_limit = std::chrono::seconds(time_limit);
  if (!api_key_file.empty()) {
    http.api_key = merit::read_file(api_key_file);
    while (!http.api_key.empty() && std::string(" \r\n\t").find(http.api_key.back()) != std::string::npos)
      http.api_key.pop_back();
    check_key(http.api_key, api_key_file);
  } else if (const char* key = std::getenv("MERIT_API_KEY")) {
    http.api_key = key;
    check_key(http.api_key, "MERIT_API_KEY");  // set to nothing it would be no key
  }

  merit::OpenOptions open = programs::open_options(line, open_flags);
  merit::SavedModel saved = programs::read_usable(model, open, name);
  if (!saved.note_on_strings.empty())
    std::fprintf(stderr, "%s: %s\n", name, merit::visible(saved.note_on_strings).c_str());
  auto loaded = programs::load_usable(saved, open.backend, threads, name);
  merit::ScoringApi api(merit::Scorer(std::move(saved), std::move(loaded)), options);
  merit::HttpServer server(api, http);

  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { ++asked_to_end; });
  std::thread watcher([&] {
    const auto wait = [] { std::this_thread::sleep_for(std::chrono::milliseconds(50)); };
    while (asked_to_end == 0) wait();
    api.announce_end();
    const auto until = merit::end_of(std::chrono::seconds(drain));
    while (asked_to_end == 1 && std::chrono::steady_clock::now() < until) wait();
    server.stop();
  });
  const bool is_ipv6 = http.host.find(':') != std::string::npos;
  std::fprintf(stderr, "%s: %s on http://%s%s%s:%d\n", name, merit::visible(api.name()).c_str(),
               is_ipv6 ? "[" : "", http.host.c_str(), is_ipv6 ? "]" : "", server.port());
  server.serve();
  const bool was_asked = asked_to_end.fetch_add(2) != 0;
  watcher.join();
  if (!was_asked) throw merit::IoError("the network ended the program");
  std::fprintf(stderr, "%s: done\n", name);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return programs::run(name, argv, [&] { return run(argc, argv); });
}
