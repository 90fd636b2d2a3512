// expect: Head and Loss do not fit: the Loss reads logits of the next token, expected one for each of the
// vocabulary
#include "merit/backbone/llama.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/joint_loss.hpp"
#include "merit/loss/language_model_loss.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::Llama, merit::ScalarHead,
                   merit::JointLoss<merit::PairwiseLoss, merit::LanguageModelLoss>,
                   merit::ReferenceBackend<double>>
    model;
