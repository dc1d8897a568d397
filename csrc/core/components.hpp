// SPDX-License-Identifier: Apache-2.0
// Components: 8-connected components of a binary image given row by row, as runs joined by union-find.
// Costs one look at every byte (eight at a time where they are zero) plus O(runs); holds no label image.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace rasant {

// Pixels first .. last-1 of row y. After Components::finish(), label is 1 .. count.
struct Run { int y, first, last, label; };

class Components {
 public:
  void start(int width) {
    width_ = width;
    y_ = 0;
    above_ = row_ = 0;
    runs_.clear();
    parent_.clear();
  }

  // Rows come from the top; a byte that is not 0 is a set pixel.
  void add_row(const std::uint8_t* mask) {
    for (int x = next_set(mask, 0); x < width_; x = next_set(mask, x)) {
      const void* zero = std::memchr(mask + x, 0, static_cast<std::size_t>(width_ - x));
      const int last = zero ? static_cast<int>(static_cast<const std::uint8_t*>(zero) - mask) : width_;
      add_run(x, last, [](const Run&) { return true; });
      x = last;
    }
    end_row();
  }

  // The next run of the present row, from the left. joined(run above) decides about every run above that it meets, edge
  // to edge or corner to corner.
  template <class Joined>
  void add_run(int first, int last, const Joined& joined) {
    int label = -1;
    while (above_ < row_ && runs_[above_].last < first) ++above_;  // ends left of the diagonal neighbour
    for (std::size_t i = above_; i < row_ && runs_[i].first <= last; ++i)
      if (joined(runs_[i])) label = label < 0 ? root(runs_[i].label) : join(label, runs_[i].label);
    if (label < 0) {
      label = static_cast<int>(parent_.size());
      parent_.push_back(label);
    }
    runs_.push_back({y_, first, last, label});
  }

  void end_row() {
    above_ = row_;
    row_ = runs_.size();
    ++y_;
  }

  // Numbers the components 1 .. count in the order of their first pixel (rows first); returns count.
  int finish() {
    int count = 0;
    number_.assign(parent_.size(), 0);
    for (Run& run : runs_) {
      int& number = number_[static_cast<std::size_t>(root(run.label))];
      if (number == 0) number = ++count;
      run.label = number;
    }
    return count;
  }

  const std::vector<Run>& runs() const { return runs_; }

 private:
  int root(int label) {
    int* parent = parent_.data();
    while (parent[label] != label) label = parent[label] = parent[parent[label]];
    return label;
  }

  int join(int a, int b) {
    a = root(a);
    b = root(b);
    return a < b ? parent_[static_cast<std::size_t>(b)] = a : parent_[static_cast<std::size_t>(a)] = b;
  }

  int next_set(const std::uint8_t* mask, int x) const {
    for (std::uint64_t eight; x + 8 <= width_; x += 8) {
      std::memcpy(&eight, mask + x, 8);
      if (eight != 0) break;
    }
    while (x < width_ && mask[x] == 0) ++x;
    return x;
  }

  int width_ = 0, y_ = 0;
  std::size_t above_ = 0;  // first run of the row above that the next run may meet
  std::size_t row_ = 0;    // first run of the present row
  std::vector<Run> runs_;
  std::vector<int> parent_, number_;
};

}  // namespace rasant
