// --arch, which commands that read classifiers share.
#pragma once

#include "base/options.h"
#include "models/classifier.h"

namespace pen {

// T has the field arch.
template <class T>
void add_arch(OptionsOf<T>& table) {
  table
      .add("arch", &T::arch,
           "what the files of classifiers hold; none: recognised from the names and shapes of their tensors")
      .one_of(classifier_archs())
      .or_none();
}

}  // namespace pen
