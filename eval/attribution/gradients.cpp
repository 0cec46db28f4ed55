// Methods that read the gradient of a class's logit with respect to the image's pixels.
#include <algorithm>
#include <cmath>

#include "eval/attribution/methods.h"
#include "eval/attribution/planes.h"
#include "eval/attribution/probe.h"
#include "tensor/autograd.h"

namespace pen::eval {
namespace {

// Of a gradient (N,S,S,3): the largest |value| among the channels.
Tensor largest_channel(const Tensor& gradient) {
  return map_pixels(gradient, {}, [](const double* g, const double*, std::int64_t c, std::int64_t) {
    double most = 0;
    for (std::int64_t k = 0; k < c; ++k)
      if (!(std::abs(g[k]) <= most)) most = std::abs(g[k]);  // NaN stays, to be seen
    return most;
  });
}

// max_c |d logit / d x|
Attribution gradient(const Question& question) {
  const InputGradient at = input_gradient(question);
  return {largest_channel(at.gradient), at.logits};
}

// |sum_c x dz/dx|: what the pixel contributes to the logit, to first order.
Attribution input_x_gradient(const Question& question) {
  const InputGradient at = input_gradient(question);
  return {map_pixels(at.gradient, question.x,
                     [](const double* g, const double* x, std::int64_t c, std::int64_t) {
                       double sum = 0;
                       for (std::int64_t k = 0; k < c; ++k) sum += x[k] * g[k];
                       return std::abs(sum);
                     }),
          at.logits};
}

// As gradient, but a ReLU passes dy back where its input is not negative and dy is positive.
Attribution guided_backprop(const Question& question) {
  const ReluRuleScope rule(kernels::ReluRule::guided);
  return gradient(question);
}

// As gradient, but a ReLU passes max(dy, 0) back, whatever its input was.
Attribution deconvnet(const Question& question) {
  const ReluRuleScope rule(kernels::ReluRule::deconvnet);
  return gradient(question);
}

}  // namespace

std::vector<Method> gradient_methods() {
  return {
      {{},
       "gradient",
       Needs::gradient,
       "max over channels of |dz/dx|",
       "Simonyan, Vedaldi, Zisserman, Deep inside convolutional networks, ICLR workshop 2014, arXiv 1312.6034",
       "1 forward, 1 backward",
       "",
       gradient},
      {{},
       "input_x_gradient",
       Needs::gradient,
       "|sum over channels of x dz/dx|",
       "Shrikumar et al., Not just a black box, arXiv 1605.01713",
       "1 forward, 1 backward",
       "",
       input_x_gradient},
      {{.smooth = 0.02},
       "guided_backprop",
       Needs::gradient,
       "max over channels of |dz/dx|, ReLUs passing only positive gradients, where their input is not negative",
       "Springenberg et al., Striving for simplicity, ICLR workshop 2015, arXiv 1412.6806",
       "1 forward, 1 backward",
       "smooth 0.02",
       guided_backprop},
      {{},
       "deconvnet",
       Needs::gradient,
       "max over channels of |dz/dx|, ReLUs passing only positive gradients",
       "Zeiler, Fergus, Visualizing and understanding convolutional networks, ECCV 2014, arXiv 1311.2901",
       "1 forward, 1 backward",
       "",
       deconvnet},
  };
}

}  // namespace pen::eval
