#include "cli/commands.h"

namespace pen::cli {

const std::vector<Command>& commands() {
  static const std::vector<Command> list = {
      prepare_command(),   sample_command(),    fit_classifier_command(), train_command(),  score_command(),
      wsol_command(),      evaluate_command(),  compare_command(),        sanity_command(), explain_command(),
      attribute_command(), report_command(),    ckpt_command(),           bench_command(),  doctor_command(),
      options_command(),   completion_command()};
  return list;
}

}  // namespace pen::cli
