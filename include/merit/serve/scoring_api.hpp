// Requests of JSON to answers of JSON, by endpoint: what a server says, whoever carries it.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/core/visible.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/run/scorer.hpp"
#include "merit/serve/metrics.hpp"
#include "merit/serve/rerank_endpoint.hpp"
#include "merit/serve/reward_endpoints.hpp"
#include "merit/serve/score_endpoints.hpp"
#include "merit/serve/score_queue.hpp"
#include "merit/serve/serve_reply.hpp"
#include "merit/serve/served_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A model behind the requests that clients of reward models and rerankers send. Each score comes twice: `score`, as the model
/// gives it (of tokens or steps what they come to together, with the head's own `logits` of each), and `calibrated`, by the
/// calibration or the mean and deviation of the model's card, null where it has neither; `probability` is the sigmoid of a
/// reward, and what is computed of tokens or steps. A completion without a score is an error that says why, never a number;
/// one of which a limit on length took a part is marked `cut`. answer() may be called from any thread.
///
///   POST /score        records as merit_score reads them, one or in "records"; "text_1" and "text_2" (vLLM)
///   POST /rerank       "query" and "documents", best first (Jina, Cohere, vLLM; also /v1/rerank, /v2/rerank);
///                      "query" and "texts" (Text Embeddings Inference, with "raw_scores")
///   POST /classify     "input" or "messages": probabilities (vLLM)
///   POST /pooling      "input" or "messages": the scores and logits of tokens or steps, or of the whole (vLLM)
///   POST /get_reward   "query", texts with their prompts (OpenRLHF)
///   POST /rewards      "rollouts": terminal or dense rewards, with "values" advantages and returns
///   GET  /health, /metrics (Prometheus), /v1/models
class ScoringApi {
 public:
  explicit ScoringApi(Scorer scorer, ServeOptions options = {})
      : model_(std::move(scorer), std::move(options)) {}

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
    return {status, detail::dumped(body)};
  }

  /// From now on /health says that the end is near, so that a load balancer sends no more; requests are answered as before.
  void announce_end() { ends_ = true; }

  const std::string& name() const { return model_.name(); }

 private:
  struct Endpoint {
    std::string_view path, method;
    ServeReply (*answer)(ScoringApi& api, const OrderedJson& body);
  };

  template <ServeReply (*answer)(ServedModel&, const OrderedJson&)>
  static ServeReply by_model(ScoringApi& api, const OrderedJson& body) {
    return answer(api.model_, body);
  }
  static const std::vector<Endpoint>& endpoints() {
    static const std::vector<Endpoint> all{{"/score", "POST", by_model<detail::answer_score>},
                                           {"/v1/score", "POST", by_model<detail::answer_score>},
                                           {"/rerank", "POST", by_model<detail::answer_rerank>},
                                           {"/v1/rerank", "POST", by_model<detail::answer_rerank>},
                                           {"/v2/rerank", "POST", by_model<detail::answer_rerank>},
                                           {"/classify", "POST", by_model<detail::answer_classify>},
                                           {"/pooling", "POST", by_model<detail::answer_pooling>},
                                           {"/get_reward", "POST", by_model<detail::answer_get_reward>},
                                           {"/rewards", "POST", by_model<detail::answer_rewards>},
                                           {"/health", "GET", health},
                                           {"/metrics", "GET", metrics},
                                           {"/v1/models", "GET", models}};
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
          if (!model->is_string() || model->get<std::string>() != name()) {
            return failure(404, concat("the request: found the model ", detail::describe(*model),
                                       ", expected \"", name(), "\", which is served here"));
          }
        }
      }
      return endpoint.answer(*this, object);
    } catch (const QueueFull& error) {
      ServeReply reply = failure(429, error.what());
      reply.retry_after = error.seconds();
      return reply;
    } catch (const TimedOut& error) {
      return failure(504, error.what());
    } catch (const DataError& error) {
      return failure(400, error.what());
    } catch (const ConfigError& error) {
      return failure(400, error.what());
    } catch (const std::exception& error) {
      return failure(500, error.what());
    }
  }

  static ServeReply health(ScoringApi& api, const OrderedJson&) {
    return api.ends_ ? failure(503, "the program is about to end")
                     : detail::reply({{"status", "ok"}, {"model", api.name()}});
  }
  static ServeReply metrics(ScoringApi& api, const OrderedJson&) {
    return {200, api.metrics_.text(api.model_.figures(), api.model_.reused_tokens()),
            "text/plain; version=0.0.4"};
  }
  static ServeReply models(ScoringApi& api, const OrderedJson&) {
    return detail::reply(
        {{"object", "list"}, {"data", {{{"id", api.name()}, {"object", "model"}, {"owned_by", "merit"}}}}});
  }

  ServedModel model_;
  ServeMetrics metrics_;
  std::atomic<bool> ends_ = false;
};

}  // namespace MERIT_ABI
}  // namespace merit
