// Requests of JSON to answers of JSON, by endpoint: what a server says, whoever carries it.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/spelled_number.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/run/kept_prompts.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/run/record_to_score.hpp"
#include "merit/run/scorer.hpp"
#include "merit/serve/metrics.hpp"
#include "merit/serve/request_fields.hpp"
#include "merit/serve/reward_request.hpp"
#include "merit/serve/score_queue.hpp"

namespace merit {
inline namespace MERIT_ABI {

struct ServeOptions {
  std::string name = {};      // by which requests may call the model; empty: its folder's name
  Index batch_tokens = 8192;  // tokens computed at once
  Index kept_bytes = 0;       // for the keys and values of prompts that come again; 0: nothing is kept
  QueueOptions queue = {};
  Index max_records = 1024;                     // completions in one request
  std::chrono::milliseconds time_limit{60000};  // for the scores of one request
};

/// An answer: an HTTP status and a body.
struct ServeReply {
  int status = 200;
  std::string body = {};
  std::string content_type = "application/json";
  double retry_after = 0;  // seconds; 0: nothing is said of it
};

/// A model behind the requests that clients of reward models and rerankers send. Each score comes twice: `score`, as the head
/// gives it, and `calibrated`, by the calibration or the mean and deviation of the model's card, null where it has
/// neither; `probability` is the sigmoid of a reward, and what is computed of tokens or steps. A completion without a
/// score is an error that says why, never a number. answer() may be called from any thread.
///
///   POST /score        records as merit_score reads them, one or in "records"; "text_1" and "text_2" (vLLM)
///   POST /rerank       "query" and "documents", best first (Jina, Cohere, vLLM; also /v1/rerank, /v2/rerank);
///                      "query" and "texts" (Text Embeddings Inference, with "raw_scores")
///   POST /classify     "input": probabilities (vLLM)
///   POST /pooling      "input": the scores of tokens or steps, or of the whole (vLLM)
///   POST /get_reward   "query", texts with their prompts (OpenRLHF)
///   POST /rewards      "rollouts": terminal or dense rewards, with "values" advantages and returns
///   GET  /health, /metrics (Prometheus), /v1/models
class ScoringApi {
 public:
  explicit ScoringApi(Scorer scorer, ServeOptions options = {})
      : scorer_(std::move(scorer)),
        options_(std::move(options)),
        reading_(reading_of(scorer_.about().about, scorer_.model().meaning(), false)),
        kept_(options_.kept_bytes == 0
                  ? nullptr
                  : std::make_unique<KeptPrompts>(scorer_.model(),
                                                  SessionOptions{.memory_limit = options_.kept_bytes})),
        queue_([this] { return make_scorer(); }, options_.queue) {
    const ModelCard& card = scorer_.about().about;
    try {
      calibrated_ = merit::reading_of(card, scorer_.model().meaning(), true);
    } catch (const ConfigError&) {  // it has neither
    }
    if (options_.name.empty()) options_.name = scorer_.about().place.lexically_normal().filename().string();
    if (options_.name.empty())
      options_.name = scorer_.about().place.lexically_normal().parent_path().filename().string();
  }

  /// Answers one request, and counts it. Never throws but for want of memory.
  ServeReply answer(std::string_view method, std::string_view path, std::string_view body) {
    const auto began = ScoreQueue::Clock::now();
    const auto endpoint = std::find_if(endpoints().begin(), endpoints().end(),
                                       [&](const Endpoint& one) { return one.path == path; });
    ServeReply reply =
        endpoint == endpoints().end() ? failure(404, concat("there is no ", visible(path.substr(0, 100)),
                                                            ", expected one of: ", paths()))
        : endpoint->method != method
            ? failure(405, concat(path, " takes ", endpoint->method, ", found ", visible(method)))
            : answer(*endpoint, body);
    const double seconds = std::chrono::duration<double>(ScoreQueue::Clock::now() - began).count();
    metrics_.add(endpoint == endpoints().end() ? "other" : std::string(path), reply.status, seconds);
    return reply;
  }

  /// The body of an error, as OpenAI's clients read it.
  static ServeReply failure(int status, const std::string& sentence) {
    const char* type = status == 401   ? "authentication_error"
                       : status == 429 ? "rate_limit_error"
                       : status < 500  ? "invalid_request_error"
                                       : "server_error";
    const Json body{{"error", {{"message", sentence}, {"type", type}, {"code", status}}}};
    return {status, dumped(body)};
  }

  /// No more is taken: requests that wait are still answered, /health says that the end is near.
  void close() {
    closed_ = true;
    queue_.close();
  }

  const std::string& name() const { return options_.name; }

 private:
  using Records = ScoreQueue::Records;
  using Scores = ScoreQueue::Scores;
  struct Endpoint {
    std::string_view path, method;
    ServeReply (ScoringApi::*answer)(const OrderedJson& body);
  };

  static const std::vector<Endpoint>& endpoints() {
    using Api = ScoringApi;
    static const std::vector<Endpoint> all{
        {"/score", "POST", &Api::score},      {"/v1/score", "POST", &Api::score},
        {"/rerank", "POST", &Api::rerank},    {"/v1/rerank", "POST", &Api::rerank},
        {"/v2/rerank", "POST", &Api::rerank}, {"/classify", "POST", &Api::classify},
        {"/pooling", "POST", &Api::pooling},  {"/get_reward", "POST", &Api::get_reward},
        {"/rewards", "POST", &Api::rewards},  {"/health", "GET", &Api::health},
        {"/metrics", "GET", &Api::metrics},   {"/v1/models", "GET", &Api::models}};
    return all;
  }
  static std::string paths() {
    std::string text;
    for (const Endpoint& one : endpoints()) text += concat(text.empty() ? "" : ", ", one.path);
    return text;
  }

  ServeReply answer(const Endpoint& endpoint, std::string_view body) {
    try {
      OrderedJson object;
      if (endpoint.method == "POST") {
        object = parse_ordered_json(body, "the request");
        if (!object.is_object())
          return failure(400,
                         concat("the request: found ", detail::describe(object), ", expected an object"));
        if (const OrderedJson* model = detail::find_field(object, "model")) {
          if (!model->is_string() || model->get<std::string>() != options_.name) {
            return failure(404, concat("the request: found the model ", detail::describe(*model),
                                       ", expected \"", options_.name, "\", which is served here"));
          }
        }
      }
      return (this->*endpoint.answer)(object);
    } catch (const QueueFull& error) {
      ServeReply reply = failure(429, error.what());
      reply.retry_after = error.seconds();
      return reply;
    } catch (const TimedOut& error) {
      return failure(504, error.what());
    } catch (const QueueClosed& error) {
      return failure(503, error.what());
    } catch (const DataError& error) {
      return failure(400, error.what());
    } catch (const ConfigError& error) {
      return failure(400, error.what());
    } catch (const std::exception& error) {
      return failure(500, error.what());
    }
  }

  // ---- Scores ---

  /// Called by the queue's thread, before each batch.
  RecordScorer make_scorer() {
    if (kept_ != nullptr) reused_ = kept_->counts().reused;
    return RecordScorer(scorer_.model(), scorer_.about(), reading_, options_.batch_tokens, kept_.get());
  }

  static Index completions_of(const RecordToScore& record) {
    if (const auto* several = std::get_if<CompletionsRecord>(&record)) return several->size();
    const bool two =
        std::holds_alternative<PreferenceRecord>(record) || std::holds_alternative<JudgeRecord>(record);
    return two ? 2 : 1;
  }

  Scores scores(Records records) {
    Index completions = 0;
    for (const RecordToScore& record : records) completions += completions_of(record);
    if (completions > options_.max_records) {
      throw DataError(concat("the request: found ", completions, " completions, expected at most ",
                             options_.max_records));
    }
    return queue_.score(std::move(records), end_of(options_.time_limit));
  }

  /// The same where each completion must have a score: else throws DataError that says which has none.
  std::vector<CompletionScore> all_scores(Records records, std::string_view field) {
    std::vector<CompletionScore> all;
    for (RecordScores& one : scores(std::move(records))) {
      const std::string at = concat("the request: field '", field, "', entry ");
      if (!one.error.empty()) throw DataError(concat(at, all.size(), ": ", one.error));
      if (!one.dropped.empty()) throw DataError(concat(at, all.size(), " has no score: ", one.dropped));
      for (CompletionScore& completion : one.completions) {
        if (!completion.dropped.empty())
          throw DataError(concat(at, all.size(), " has no score: ", completion.dropped));
        all.push_back(std::move(completion));
      }
    }
    return all;
  }

  /// A reward is the head's own float, written as short as that.
  double raw(const CompletionScore& one) const {
    return reading_.has_rows() ? one.score : std::stod(shortest(static_cast<float>(one.score)));
  }
  double probability(const CompletionScore& one) const { return completion_probability(one.score, reading_); }
  Json calibrated(const CompletionScore& one) const {
    return calibrated_ ? Json(shown_score(one.score, *calibrated_)) : Json();
  }
  Json described(const CompletionScore& one, bool rows) const {
    if (!one.dropped.empty()) return {{"score", nullptr}, {"error", "no score: " + one.dropped}};
    Json out{{"score", raw(one)},
             {"calibrated", calibrated(one)},
             {"probability", probability(one)},
             {"tokens", one.tokens}};
    if (one.cut) out["cut"] = true;
    if (rows && reading_.has_rows()) out["rows"] = one.rows;
    return out;
  }

  /// What every answer has around its list.
  Json envelope(const char* list, Json items, const std::vector<CompletionScore>& scores) const {
    Index tokens = 0;
    for (const CompletionScore& one : scores) tokens += one.tokens;
    return {{"object", "list"},
            {"created", std::time(nullptr)},
            {"model", options_.name},
            {list, std::move(items)},
            {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}};
  }
  static ServeReply reply(const Json& body) { return {200, dumped(body)}; }
  static std::string dumped(const Json& body) {
    return body.dump(-1, ' ', false, Json::error_handler_t::replace);
  }

  // ---- Endpoints ---

  ServeReply score(const OrderedJson& body) {
    if (detail::has_any_field(body, {"text_1", "queries"})) return score_texts(body);
    const auto list = body.find("records");
    const bool several = list != body.end();
    if (several && !list->is_array())
      throw DataError(
          concat("the request: field 'records': found ", detail::describe(*list), ", expected a list"));
    const bool rows = detail::flag_field(body, "rows");
    Records records;
    std::vector<std::string> faults;  // of each record: why it is none; empty: it is one
    for (Index i = 0; i < (several ? list->size() : 1); ++i) {
      try {
        records.push_back(detail::record_of_request(several ? (*list)[i] : body, i));
        faults.emplace_back();
      } catch (const DataError& error) {
        faults.emplace_back(error.what());
      }
    }
    Json results = Json::array();
    std::vector<CompletionScore> all;
    const Scores scored = scores(std::move(records));
    Index next = 0;
    for (const std::string& fault : faults) {
      RecordScores one;
      if (fault.empty()) {
        one = scored[next++];
      } else {
        one.error = fault;
      }
      Json result{{"index", results.size()}};
      if (!one.error.empty() || !one.dropped.empty()) {
        result["error"] = one.error.empty() ? "no score: " + one.dropped : one.error;
      } else if (one.form == RecordScores::Form::one) {
        result.update(described(one.completions.front(), rows));
      } else {
        result["completions"] = Json::array();
        for (const CompletionScore& each : one.completions)
          result["completions"].push_back(described(each, rows));
        if (one.form == RecordScores::Form::several) result["order"] = one.order();
      }
      all.insert(all.end(), one.completions.begin(), one.completions.end());
      results.push_back(std::move(result));
    }
    if (!several && results[0].contains("error")) throw DataError(results[0]["error"].get<std::string>());
    return reply(envelope("results", std::move(results), all));
  }

  ServeReply score_texts(const OrderedJson& body) {
    const std::vector<std::string> first = detail::texts_field(body, {"text_1", "queries"});
    const std::vector<std::string> second = detail::texts_field(body, {"text_2", "items", "documents"});
    if (first.size() != 1 && first.size() != second.size()) {
      throw DataError(concat("the request: found ", first.size(), " first texts and ", second.size(),
                             " second ones, expected one first text, or as many of both"));
    }
    Records records;
    if (first.size() == 1) {
      records.push_back(detail::completions_of(first[0], second));
    } else {
      for (Index i = 0; i < first.size(); ++i) records.push_back(detail::completion_of(first[i], second[i]));
    }
    const auto all = all_scores(std::move(records), "text_2");
    Json data = Json::array();
    for (const CompletionScore& one : all) {
      Json item = described(one, false);
      item.update({{"index", data.size()}, {"object", "score"}});
      data.push_back(std::move(item));
    }
    return reply(envelope("data", std::move(data), all));
  }

  ServeReply rerank(const OrderedJson& body) {
    const bool of_tei = detail::has_any_field(body, {"texts"});
    const std::vector<std::string> query = detail::texts_field(body, {"query"});
    if (query.size() != 1) throw DataError("the request: field 'query': found a list, expected a string");
    const std::vector<std::string> documents = detail::texts_field(body, {of_tei ? "texts" : "documents"});
    Index top = documents.size();
    if (const auto wanted = detail::number_field(body, "top_n"); wanted) top = std::min<Index>(top, *wanted);
    Records records;
    records.push_back(detail::completions_of(query[0], documents));
    const auto all = all_scores(std::move(records), of_tei ? "texts" : "documents");
    std::vector<double> own;
    std::vector<bool> cut;
    for (const CompletionScore& one : all) {
      own.push_back(one.score);
      cut.push_back(one.cut);
    }
    const bool raw_scores = detail::flag_field(body, "raw_scores");
    const bool with_text = detail::flag_field(body, of_tei ? "return_text" : "return_documents", !of_tei);
    Json results = Json::array();
    for (const Index i : order_by_score(own, cut, RankCut::as_scored)) {
      if (results.size() == top) break;
      Json item{{"index", i}};
      if (of_tei) {
        item["score"] = raw_scores ? raw(all[i]) : probability(all[i]);
        if (with_text) item["text"] = documents[i];
      } else {
        item.update(described(all[i], false));
        item["relevance_score"] = probability(all[i]);
        if (with_text) item["document"] = {{"text", documents[i]}};
      }
      results.push_back(std::move(item));
    }
    return reply(of_tei ? results : envelope("results", std::move(results), all));
  }

  ServeReply classify(const OrderedJson& body) {
    const auto all = all_scores(detail::records_of_input(body), "input");
    Json data = Json::array();
    for (const CompletionScore& one : all) {
      const double good = probability(one);
      Json item = described(one, false);
      item.update({{"index", data.size()},
                   {"label", good >= 0.5 ? "good" : "bad"},
                   {"probs", {good}},
                   {"num_classes", 1}});
      data.push_back(std::move(item));
    }
    return reply(envelope("data", std::move(data), all));
  }

  ServeReply pooling(const OrderedJson& body) {
    const auto all = all_scores(detail::records_of_input(body), "input");
    Json data = Json::array();
    for (const CompletionScore& one : all) {
      Json item = described(one, false);
      item.update({{"index", data.size()},
                   {"object", "pooling"},
                   {"data", reading_.has_rows() ? one.rows : std::vector<double>{raw(one)}}});
      data.push_back(std::move(item));
    }
    return reply(envelope("data", std::move(data), all));
  }

  ServeReply get_reward(const OrderedJson& body) {
    if (scorer_.about().tokenize.strings_as_chat) {
      throw DataError(
          "/get_reward takes text as a chat template has written it, expected a model that reads strings as they are "
          "(without --strings-as-chat)");
    }
    const std::vector<std::string> queries = detail::texts_field(body, {"query"});
    std::vector<std::string> prompts;
    if (detail::has_any_field(body, {"prompts"})) prompts = detail::texts_field(body, {"prompts"});
    if (!prompts.empty() && prompts.size() != queries.size()) {
      throw DataError(concat("the request: found ", prompts.size(), " prompts and ", queries.size(),
                             " queries, expected as many of both"));
    }
    Records records;
    for (Index i = 0; i < queries.size(); ++i) {
      const bool apart = !prompts.empty() && queries[i].starts_with(prompts[i]) && queries[i] != prompts[i];
      records.push_back(apart ? detail::completion_of(prompts[i], queries[i].substr(prompts[i].size()))
                              : detail::completion_of(std::nullopt, queries[i]));
    }
    Json rewards = Json::array(), normalised = Json::array();
    for (const CompletionScore& one : all_scores(std::move(records), "query")) {
      rewards.push_back(raw(one));
      normalised.push_back(calibrated(one));
    }
    return reply({{"rewards", rewards},
                  {"scores", rewards},
                  {"calibrated", normalised},
                  {"extra_logs", Json::object()}});
  }

  ServeReply rewards(const OrderedJson& body) {
    const RewardRequest request(body);
    if (request.timing == RewardTiming::dense && !reading_.has_rows())
      throw DataError(
          "the request: found dense rewards asked of a model that scores whole completions, expected terminal ones");
    if (request.normalised && (request.timing == RewardTiming::dense || !calibrated_)) {
      throw DataError(
          "the request: found normalised rewards asked for, expected terminal ones of a model whose card has a "
          "calibration, or mean and deviation");
    }
    const auto list = body.find("rollouts");
    if (list == body.end() || !list->is_array() || list->empty())
      throw DataError("the request: expected field 'rollouts', a list of records with a completion each");
    Records records;
    for (const OrderedJson& one : *list) {
      records.push_back(detail::record_of_request(one, records.size()));
      if (completions_of(records.back()) == 1) continue;
      throw DataError(concat(detail::request_position(records.size() - 1).text(),
                             ": found a record of several completions, expected a rollout, which has one"));
    }
    const auto all = all_scores(std::move(records), "rollouts");
    std::vector<double> terminal;
    for (const CompletionScore& one : all)
      terminal.push_back(request.normalised ? shown_score(one.score, *calibrated_) : raw(one));
    return reply(rewards_of(request, all, terminal));
  }

  ServeReply health(const OrderedJson&) {
    return closed_ ? failure(503, "the program is about to end")
                   : reply({{"status", "ok"}, {"model", options_.name}});
  }
  ServeReply metrics(const OrderedJson&) {
    return {200, metrics_.text(queue_.figures(), reused_), "text/plain; version=0.0.4"};
  }
  ServeReply models(const OrderedJson&) {
    return reply({{"object", "list"},
                  {"data", {{{"id", options_.name}, {"object", "model"}, {"owned_by", "merit"}}}}});
  }

  Scorer scorer_;
  ServeOptions options_;
  const Reading reading_;              // scores as the head gives them
  std::optional<Reading> calibrated_;  // by the model's card
  std::unique_ptr<KeptPrompts> kept_;  // of the queue's thread
  std::atomic<Index> reused_ = 0;      // tokens that it did not compute again
  ServeMetrics metrics_;
  std::atomic<bool> closed_ = false;
  ScoreQueue queue_;  // last: its thread uses the above
};

}  // namespace MERIT_ABI
}  // namespace merit
