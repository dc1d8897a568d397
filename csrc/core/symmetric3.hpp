// SPDX-License-Identifier: Apache-2.0
// Eigenvalues and eigenvectors of a symmetric 3 x 3 matrix by cyclic Jacobi rotations (Golub and Van Loan, "Matrix
// Computations", 8.5). Only + - * / and sqrt, in fixed order: the same bits on every machine.
#pragma once
#include <cmath>
#include <initializer_list>

#include "core/hd.hpp"

namespace rasant {

struct Eigen3 {
  double value[3];      // ascending
  double vector[3][3];  // vector[k] belongs to value[k], unit length
};

// m holds xx, xy, xz, yy, yz, zz.
RASANT_HD Eigen3 eigen_symmetric3(const double (&m)[6]) {
  double a[3][3] = {{m[0], m[1], m[2]}, {m[1], m[3], m[4]}, {m[2], m[4], m[5]}};
  double v[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  for (int sweep = 0; sweep < 8; ++sweep) {
    for (int turn = 0; turn < 3; ++turn) {
      const int p = turn == 2 ? 1 : 0, q = turn == 0 ? 1 : 2;
      if (a[p][q] == 0.0) continue;
      const double theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
      const double t = (theta < 0.0 ? -1.0 : 1.0) / (std::fabs(theta) + std::sqrt(theta * theta + 1.0));
      const double c = 1.0 / std::sqrt(t * t + 1.0), s = t * c;
      for (int k = 0; k < 3; ++k) {
        const double kp = a[k][p], kq = a[k][q];
        a[k][p] = c * kp - s * kq;
        a[k][q] = s * kp + c * kq;
      }
      for (int k = 0; k < 3; ++k) {
        const double pk = a[p][k], qk = a[q][k];
        a[p][k] = c * pk - s * qk;
        a[q][k] = s * pk + c * qk;
        const double vp = v[p][k], vq = v[q][k];
        v[p][k] = c * vp - s * vq;
        v[q][k] = s * vp + c * vq;
      }
      a[p][q] = a[q][p] = 0.0;
    }
    if (a[0][1] == 0.0 && a[0][2] == 0.0 && a[1][2] == 0.0) break;
  }
  int order[3] = {0, 1, 2};
  for (const int k : {0, 1, 0}) {
    const int low = order[k], high = order[k + 1];
    if (!(a[high][high] < a[low][low])) continue;
    order[k] = high;
    order[k + 1] = low;
  }
  Eigen3 result{};
  for (int k = 0; k < 3; ++k) {
    result.value[k] = a[order[k]][order[k]];
    for (int i = 0; i < 3; ++i) result.vector[k][i] = v[order[k]][i];
  }
  return result;
}

}  // namespace rasant
