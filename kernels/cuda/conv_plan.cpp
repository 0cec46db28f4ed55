#include "kernels/cuda/conv_plan.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <unordered_map>

#include "base/log.h"
#include "kernels/cuda/recorder.h"
#include "kernels/cuda/status.h"
#include "kernels/plan_store.h"

namespace pen::kernels::cuda {
namespace {

constexpr std::size_t most_workspace = std::size_t{1} << 30;
constexpr int most_candidates = 12;  // of each graph; cuDNN's order is by expected time

// No further candidate of a graph once one has run and this has passed: engines that compile at run time may take a
// second each, and a network has some fifty graphs. PENUMBRA_PLAN_SECONDS changes it; 0 takes the first that runs, for
// tests, which have hundreds of graphs and time none.
std::chrono::duration<double> most_time() {
  const char* const given = std::getenv("PENUMBRA_PLAN_SECONDS");
  if (!given) return std::chrono::seconds(2);
  char* end = nullptr;
  const double seconds = std::strtod(given, &end);
  PEN_CHECK_AS(usage, end != given && *end == 0 && seconds >= 0 && seconds <= 3600, "PENUMBRA_PLAN_SECONDS: '", given,
               "' is not between 0 and 3600");
  return std::chrono::duration<double>(seconds);
}
constexpr std::size_t most_plans = 2048;

struct KeyHash {
  std::size_t operator()(const ConvSpecKey& key) const {
    std::uint64_t h = 0xcbf29ce484222325ull;
    for (const std::int64_t v : key) h = (h ^ static_cast<std::uint64_t>(v)) * 0x100000001b3ull;
    return h;
  }
};

// What is kept for one GPU. A null plan: cuDNN has none.
struct Plans {
  std::string gpu_name;
  std::unordered_map<ConvSpecKey, std::unique_ptr<ConvPlan>, KeyHash> known;
};

Plans& plans_of(int index) {  // called under the lock of Libraries, which is per GPU; the map of GPUs has its own
  static std::mutex mutex;
  static auto& all = *new std::map<int, std::unique_ptr<Plans>>;
  const std::lock_guard lock(mutex);
  auto& entry = all[index];
  if (!entry) {
    cudaDeviceProp properties{};
    PEN_CUDA(cudaGetDeviceProperties(&properties, index));
    entry = std::make_unique<Plans>();
    entry->gpu_name = properties.name;
  }
  return *entry;
}

PlanStore& store() {
  static auto& kept = *new PlanStore(default_plan_folder());
  return kept;
}

// Milliseconds of one run: the least of three after one to warm up; infinity if it cannot run.
double time_of(const ConvPlan& plan, const std::function<void(const ConvPlan&)>& trial, cudaStream_t stream) {
  try {
    trial(plan);
    TimedSpan span;
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 3; ++i) {
      span.begin(stream);
      trial(plan);
      best = std::min(best, span.end(stream));
    }
    return best;
  } catch (const Error& error) {
    log::detail(str("a plan cannot run: ", error.what()));
    return std::numeric_limits<double>::infinity();
  }
}

struct Choice {
  std::unique_ptr<ConvPlan> plan;
  double milliseconds = std::numeric_limits<double>::infinity();
  int tried = 0;
};

void try_graph(Libraries& libraries, const ConvSpec& spec, bool fused,
               const std::function<void(const ConvPlan&)>& trial, Choice& choice) {
  const Descriptor graph = conv_graph(spec, fused, libraries.cudnn());
  const auto start = std::chrono::steady_clock::now();
  const std::chrono::duration<double> longest = most_time();
  int here = 0;
  bool ran = false;
  for (const Descriptor& config : engine_configs(spec, graph, nullptr)) {
    if (here == most_candidates || (ran && std::chrono::steady_clock::now() - start > longest)) break;
    std::optional<Descriptor> built = plan_of(config, libraries.cudnn(), nullptr);
    if (!built) continue;
    auto plan = std::make_unique<ConvPlan>(spec, fused, std::move(*built));
    if (plan->workspace() > most_workspace) continue;
    ++here;
    const double ms = time_of(*plan, trial, libraries.stream());
    ran = ran || ms < std::numeric_limits<double>::infinity();
    if (ms >= choice.milliseconds) continue;
    choice.milliseconds = ms;
    choice.plan = std::move(plan);
  }
  choice.tried += here;
}

std::unique_ptr<ConvPlan> from_disk(Libraries& libraries, const ConvSpec& spec, const PlanIdentity& identity) {
  const std::optional<StoredPlan> stored = store().load(identity);
  if (!stored || (stored->variant != "fused" && stored->variant != "apart")) return nullptr;
  std::optional<Descriptor> plan = plan_of(stored->text, libraries.cudnn(), nullptr);
  if (!plan) {
    log::warn(str("cuDNN does not take the plan in '", store().path_of(identity), "'; it is made anew"));
    return nullptr;
  }
  log::detail(str("plan ", identity.graph, ": from disk, ", stored->milliseconds, " ms when chosen"));
  return std::make_unique<ConvPlan>(spec, stored->variant == "fused", std::move(*plan));
}

std::unique_ptr<ConvPlan> choose(Libraries& libraries, const ConvSpec& spec, const PlanIdentity& identity,
                                 const std::function<void(const ConvPlan&)>& trial) {
  const auto start = std::chrono::steady_clock::now();
  Choice choice;
  if (spec.fusible()) try_graph(libraries, spec, true, trial, choice);
  try_graph(libraries, spec, false, trial, choice);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  if (!choice.plan) {
    log::warn(
        str("cuDNN has no engine for ", identity.graph, " on ", identity.gpu, ": our own kernel, which is slow, runs"));
    return nullptr;
  }
  const char* variant = choice.plan->fused() ? "fused" : "apart";
  char line[96];
  std::snprintf(line, sizeof line, ": %.4f ms, %s, best of %d, chosen in %.2f s", choice.milliseconds, variant,
                choice.tried, took.count());
  log::info("plan " + identity.graph + line);
  store().save(identity, {variant, text_of(choice.plan->descriptor()), choice.milliseconds});
  return std::move(choice.plan);
}

}  // namespace

ConvPlan::ConvPlan(const ConvSpec& spec, bool fused, Descriptor plan)
    : fused_(fused),
      plan_(std::move(plan)),
      workspace_(static_cast<std::size_t>(plan_.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE))),
      roles_(roles_of(spec, fused)) {}

void ConvPlan::run(Libraries& libraries, const Pointers& by_role) const {
  std::optional<Temporary> workspace;
  if (workspace_ > 0) workspace.emplace(workspace_, libraries.stream());
  const Descriptor pack = variant_pack(roles_, by_role, workspace ? workspace->as<void>() : nullptr);
  PEN_CUDNN(cudnnBackendExecute(libraries.cudnn(), plan_.get(), pack.get()));
}

const ConvPlan* conv_plan(Libraries& libraries, const Context& ctx, const ConvSpec& spec,
                          const std::function<void(const ConvPlan&)>& trial) {
  Plans& plans = plans_of(ctx.device.index);
  const ConvSpecKey key = numbers_of(spec);
  const auto found = plans.known.find(key);
  if (found != plans.known.end()) return found->second.get();
  const Aside aside(libraries.stream());  // plans are timed
  if (plans.known.size() >= most_plans) plans.known.clear();
  const PlanIdentity identity{key_of(spec), cudnn_version(), plans.gpu_name};
  std::unique_ptr<ConvPlan> plan = from_disk(libraries, spec, identity);
  if (!plan) plan = choose(libraries, spec, identity, trial);
  return plans.known.emplace(key, std::move(plan)).first->second.get();
}

}  // namespace pen::kernels::cuda
