// GroupNorm, with SiLU after it if asked, for bf16 tensors in channels-last order on a CPU, on one thread.
//
// With x of shape (N, C, H, W), a group has D channels and M = H * W places. Sums over blocks of places are in float, sums of
// these in double. In the inner loops the channels are next to each other, which the compiler turns into vectors.

#include <torch/extension.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

using bf16 = uint16_t;
using std::vector;

static constexpr int64_t BLOCK = 256;

static inline float to_float(bf16 value) {
    uint32_t bits = uint32_t(value) << 16;
    float result;
    std::memcpy(&result, &bits, 4);
    return result;
}

// Rounded to nearest, ties to even.
static inline bf16 to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return bf16((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

struct Shape {
    int64_t N, C, M, D, groups;

    Shape(const at::Tensor &x, int64_t groups)
        : N(x.size(0)), C(x.size(1)), M(x.size(2) * x.size(3)), D(x.size(1) / groups), groups(groups) {}
};

// Per channel the sums, over all places, of what `term(place, channel)` returns and of that times x.
template <class Term>
static void sum_over_places(const Shape &s, const bf16 *x, vector<double> &sum, vector<double> &sum_x, Term term) {
    vector<float> block_sum(s.C), block_sum_x(s.C);
    std::fill(sum.begin(), sum.end(), 0.);
    std::fill(sum_x.begin(), sum_x.end(), 0.);
    for (int64_t first = 0; first < s.M; first += BLOCK) {
        std::fill(block_sum.begin(), block_sum.end(), 0.f);
        std::fill(block_sum_x.begin(), block_sum_x.end(), 0.f);
        float *a = block_sum.data(), *b = block_sum_x.data();
        for (int64_t m = first; m < std::min(s.M, first + BLOCK); m++) {
            const bf16 *row = x + m * s.C;
#pragma GCC ivdep
            for (int64_t c = 0; c < s.C; c++) {
                float value = to_float(row[c]), t = term(m, c, value);
                a[c] += t;
                b[c] += t * value;
            }
        }
        for (int64_t c = 0; c < s.C; c++) {
            sum[c] += a[c];
            sum_x[c] += b[c];
        }
    }
}

// Returns y, and mean and 1/deviation of each group as (N, groups, 2).
vector<at::Tensor> forward(at::Tensor x, at::Tensor weight, at::Tensor bias, int64_t groups, double eps, bool silu) {
    Shape s(x, groups);
    at::Tensor y = at::empty_like(x), statistics = at::empty({s.N, groups, 2}, weight.options());
    const float *w = weight.data_ptr<float>(), *b = bias.data_ptr<float>();
    float *stat = statistics.data_ptr<float>();
    vector<float> scale(s.C), shift(s.C);
    vector<double> sum(s.C), sum_x(s.C);
    for (int64_t n = 0; n < s.N; n++) {
        const bf16 *xn = (const bf16 *)x.data_ptr() + n * s.M * s.C;
        bf16 *yn = (bf16 *)y.data_ptr() + n * s.M * s.C;
        sum_over_places(s, xn, sum, sum_x, [](int64_t, int64_t, float value) { return value; });
        for (int64_t g = 0; g < groups; g++) {
            double total = 0, squares = 0;
            for (int64_t c = g * s.D; c < (g + 1) * s.D; c++) {
                total += sum[c];
                squares += sum_x[c];
            }
            double mean = total / (s.D * s.M);
            double inverse = 1 / std::sqrt(std::max(0., squares / (s.D * s.M) - mean * mean) + eps);
            stat[(n * groups + g) * 2] = mean;
            stat[(n * groups + g) * 2 + 1] = inverse;
            for (int64_t c = g * s.D; c < (g + 1) * s.D; c++) {
                scale[c] = w[c] * inverse;
                shift[c] = b[c] - w[c] * inverse * mean;
            }
        }
        const float *k = scale.data(), *l = shift.data();
        for (int64_t m = 0; m < s.M; m++) {
            const bf16 *row = xn + m * s.C;
            bf16 *out = yn + m * s.C;
            if (silu) {
#pragma GCC ivdep
                for (int64_t c = 0; c < s.C; c++) {
                    float z = to_float(row[c]) * k[c] + l[c];
                    out[c] = to_bf16(z / (1.f + expf(-z)));
                }
            } else {
#pragma GCC ivdep
                for (int64_t c = 0; c < s.C; c++) {
                    out[c] = to_bf16(to_float(row[c]) * k[c] + l[c]);
                }
            }
        }
    }
    return {y, statistics};
}

// Returns the gradients by x, weight and bias.
vector<at::Tensor> backward(at::Tensor dy, at::Tensor x, at::Tensor weight, at::Tensor bias, at::Tensor statistics,
                            int64_t groups, bool silu) {
    Shape s(x, groups);
    at::Tensor dx = at::empty_like(x), dweight = at::zeros_like(weight), dbias = at::zeros_like(bias);
    const float *w = weight.data_ptr<float>(), *b = bias.data_ptr<float>(), *stat = statistics.data_ptr<float>();
    float *dw = dweight.data_ptr<float>(), *db = dbias.data_ptr<float>();
    vector<float> scale(s.C), shift(s.C), of_x(s.C), constant(s.C), dz(s.M * s.C);
    vector<double> sum(s.C), sum_x(s.C);
    for (int64_t n = 0; n < s.N; n++) {
        const bf16 *xn = (const bf16 *)x.data_ptr() + n * s.M * s.C;
        const bf16 *dyn = (const bf16 *)dy.data_ptr() + n * s.M * s.C;
        bf16 *dxn = (bf16 *)dx.data_ptr() + n * s.M * s.C;
        for (int64_t c = 0; c < s.C; c++) {
            float mean = stat[(n * groups + c / s.D) * 2], inverse = stat[(n * groups + c / s.D) * 2 + 1];
            scale[c] = w[c] * inverse;
            shift[c] = b[c] - w[c] * inverse * mean;
        }
        const float *k = scale.data(), *l = shift.data();
        float *z_gradient = dz.data();
        // The gradient by the output of GroupNorm, through SiLU if there is one.
        if (silu) {
            sum_over_places(s, xn, sum, sum_x, [=, C = s.C](int64_t m, int64_t c, float value) {
                float z = value * k[c] + l[c], sigmoid = 1.f / (1.f + expf(-z));
                float gradient = to_float(dyn[m * C + c]) * sigmoid * (1.f + z * (1.f - sigmoid));
                return z_gradient[m * C + c] = gradient;
            });
        } else {
            sum_over_places(s, xn, sum, sum_x, [=, C = s.C](int64_t m, int64_t c, float) {
                return z_gradient[m * C + c] = to_float(dyn[m * C + c]);
            });
        }
        for (int64_t g = 0; g < groups; g++) {
            double mean = stat[(n * groups + g) * 2], inverse = stat[(n * groups + g) * 2 + 1];
            double total = 0, total_x = 0;
            for (int64_t c = g * s.D; c < (g + 1) * s.D; c++) {
                total += sum[c] * w[c];
                total_x += sum_x[c] * w[c];
                dw[c] += inverse * (sum_x[c] - mean * sum[c]);
                db[c] += sum[c];
            }
            double by_x = (total * mean - total_x) * inverse * inverse * inverse / (s.D * s.M);
            double rest = -by_x * mean - total * inverse / (s.D * s.M);
            for (int64_t c = g * s.D; c < (g + 1) * s.D; c++) {
                of_x[c] = by_x;
                constant[c] = rest;
            }
        }
        const float *u = of_x.data(), *v = constant.data();
        for (int64_t m = 0; m < s.M; m++) {
            const bf16 *row = xn + m * s.C;
            const float *gradient = z_gradient + m * s.C;
            bf16 *out = dxn + m * s.C;
#pragma GCC ivdep
            for (int64_t c = 0; c < s.C; c++) {
                out[c] = to_bf16(gradient[c] * k[c] + to_float(row[c]) * u[c] + v[c]);
            }
        }
    }
    return {dx, dweight, dbias};
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("forward", &forward, py::call_guard<py::gil_scoped_release>());
    m.def("backward", &backward, py::call_guard<py::gil_scoped_release>());
}
