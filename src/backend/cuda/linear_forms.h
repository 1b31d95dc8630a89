// Which form of a kernel a linear of generated tokens runs in, by its shape: that of a rule, or the one that
// tuning found fastest. All forms give the same bits. Host only.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace ingot::cuda {

class LinearForms {
 public:
  /// One that a shape can have; `id` is the kernel's.
  struct Form {
    int id = 0;
    std::string name;
  };
  /// A shape that was asked for.
  struct Asked {
    std::string shape;
    std::vector<Form> forms;
    int rule = 0;
  };

  /// The form for a shape, of these; `rule` where nobody chose another.
  int choose(const std::string& shape, std::span<const Form> forms, int rule) {
    if (is_listening_ &&
        std::ranges::none_of(asked_, [&](const Asked& asked) { return asked.shape == shape; }))
      asked_.push_back({shape, {forms.begin(), forms.end()}, rule});
    const auto tuned =
        std::ranges::find_if(tuned_, [&](const backend::TunedForm& form) { return form.shape == shape; });
    if (tuned == tuned_.end()) return rule;
    const auto form = std::ranges::find_if(forms, [&](const Form& one) { return one.name == tuned->form; });
    if (form != forms.end()) return form->id;
    tuned_.erase(tuned);  // a form that other shapes have: it is not in use
    return rule;
  }
  /// In place of what there was for the shape.
  void set(backend::TunedForm form) {
    std::erase_if(tuned_, [&](const backend::TunedForm& other) { return other.shape == form.shape; });
    tuned_.push_back(std::move(form));
  }
  std::span<const backend::TunedForm> tuned() const { return tuned_; }

  /// Between these: which shapes are asked for, in order, each once.
  void listen() {
    asked_.clear();
    is_listening_ = true;
  }
  std::vector<Asked> heard() {
    is_listening_ = false;
    return std::exchange(asked_, {});
  }

 private:
  std::vector<backend::TunedForm> tuned_;
  std::vector<Asked> asked_;
  bool is_listening_ = false;
};

}  // namespace ingot::cuda
