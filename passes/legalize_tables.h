// Coefficients of the polynomials that `legalize` writes, the highest power first (Horner's order).
//
// Found with Sollya 8: fpminimax for coefficients that are floats of the format, with the leading terms that
// the formulas below show fixed; erf_large_f64 and erf_small_f64 are minimax fits rounded to double. Errors
// are of the polynomial alone, in exact arithmetic, over the interval.
#pragma once

namespace trellis::elementary::tables {

/// exp(r) = 1 + r + r^2 q(r), |r| <= ln2/2. Relative error of exp: f32 2^-28.2, f64 2^-57.8.
inline constexpr double exp_f32[] = {0x1.696e74p-10, 0x1.123f82p-7, 0x1.555a12p-5, 0x1.55548ap-3, 0x1.fffffap-2};
inline constexpr double exp_f64[] = {
    0x1.ad8ef0b69491dp-26, 0x1.28b1fefb65dd3p-22, 0x1.71df21cfbd2c8p-19, 0x1.a0199530284b7p-16, 0x1.a01a01291eaa8p-13,
    0x1.6c16c185f03ap-10,  0x1.1111111128788p-7,  0x1.5555555550065p-5,  0x1.55555555554f5p-3,  0x1.000000000000bp-1};

/// expm1(r) = r + r^2 q(r), |r| <= ln2/2. Relative error of expm1: f32 2^-30.9, f64 2^-61.5.
inline constexpr double expm1_f32[] = {0x1.9e2a72p-13, 0x1.6d4956p-10, 0x1.1112fcp-7,
                                       0x1.5554ecp-5,  0x1.555554p-3,  0x1p-1};
inline constexpr double expm1_f64[] = {0x1.1f0f126b8461cp-29,
                                       0x1.af624e87bd1a6p-26,
                                       0x1.27e51bc0d5e09p-22,
                                       0x1.71ddf693e20adp-19,
                                       0x1.a01a01899caefp-16,
                                       0x1.a01a01b07409ap-13,
                                       0x1.6c16c16c1b9c6p-10,
                                       0x1.111111110f5b1p-7,
                                       0x1.555555555554bp-5,
                                       0x1.5555555555559p-3,
                                       0x1p-1};

/// expm1(r) = r + r^2 q(r), r in [0, ln2]. Relative error of expm1: f32 2^-31.6, f64 2^-61.
inline constexpr double tanh_f32[] = {0x1.1a0f36p-12, 0x1.59c804p-10, 0x1.12262ep-7,
                                      0x1.5544fap-5,  0x1.5555c6p-3,  0x1.fffffep-2};
inline constexpr double tanh_f64[] = {0x1.8c7f4e275d592p-29, 0x1.93fffaf7a02d1p-26, 0x1.29ab53f936fdbp-22,
                                      0x1.71b7ef256bbf9p-19, 0x1.a01c1fb5ca1e7p-16, 0x1.a019edb9aefdep-13,
                                      0x1.6c16c1e6a727p-10,  0x1.1111110f35195p-7,  0x1.555555555dc72p-5,
                                      0x1.555555555541fp-3,  0x1.0000000000001p-1};

/// log(1 + f) = f + f^2 (f q(f) - 1/2), f in [sqrt(1/2) - 1, sqrt(2) - 1]. Relative error 2^-27.2.
inline constexpr double log_f32[] = {-0x1.33b0f2p-4, 0x1.03f4eep-3, -0x1.0de676p-3, 0x1.231e5ep-3,
                                     -0x1.546e2ep-3, 0x1.999beap-3, -0x1.00022cp-2, 0x1.55555ep-2};

/// 2 atanh(s) = 2 s + s z q(z), z = s^2, |s| <= 0.1716. Error of z q(z): 2^-56.5.
inline constexpr double log_f64[] = {0x1.2b810433822a5p-3, 0x1.39fb1a4ee255ep-3, 0x1.7462cd8470006p-3,
                                     0x1.c71c6290f394dp-3, 0x1.2492492e2e9c6p-2, 0x1.9999999995137p-2,
                                     0x1.5555555555558p-1};

/// atan(z) = z + z w q(w), w = z^2, z in [0, 1]. Relative error: f32 2^-25.9, f64 2^-57.7.
inline constexpr double atan_f32[] = {0x1.7ec1c4p-9, -0x1.0c23fep-6, 0x1.61f756p-5, -0x1.3553f4p-4,
                                      0x1.b4dfdcp-4, -0x1.230abp-3,  0x1.9978eep-3, -0x1.5554dcp-2};
inline constexpr double atan_f64[] = {
    -0x1.956dcf624ba7bp-17, 0x1.241d70f7a2ae4p-13, -0x1.8fd2dbb96e2d5p-11, 0x1.5b9e94fe739a1p-9,  -0x1.b27764e8d90bep-8,
    0x1.a4546f1579b93p-7,   -0x1.4cbce5ce1463cp-6, 0x1.c484bc04b0a34p-6,   -0x1.14b6fcd33a5dp-5,  0x1.3d578e8ed26bdp-5,
    -0x1.60f2d00bf723ap-5,  0x1.854bb131ecf97p-5,  -0x1.af00c44c760fep-5,  0x1.e1dc00c37f323p-5,  -0x1.1110bdf9f4f4cp-4,
    0x1.3b13aaa56c56bp-4,   -0x1.745d16eabefdfp-4, 0x1.c71c71c3fffedp-4,   -0x1.249249248aa5ep-3, 0x1.9999999999889p-3,
    -0x1.5555555555555p-2};

/// sin(r) = r + r w q(w), w = r^2, |r| <= pi/4. Relative error: f32 2^-28, f64 2^-57.9.
inline constexpr double sin_f32[] = {-0x1.9953fep-13, 0x1.110778p-7, -0x1.555546p-3};
inline constexpr double sin_f64[] = {0x1.5d8e3511cdcf2p-33,  -0x1.ae5e5471f5503p-26, 0x1.71de355f05599p-19,
                                     -0x1.a01a019bf222ep-13, 0x1.111111110f75dp-7,   -0x1.5555555555548p-3};

/// cos(r) = 1 - w/2 + w^2 q(w), w = r^2, |r| <= pi/4. Relative error: f32 2^-33, f64 2^-64.
inline constexpr double cos_f32[] = {0x1.99e91p-16, -0x1.6c0c2ap-10, 0x1.55554ap-5};
inline constexpr double cos_f64[] = {-0x1.8fa681e38524p-37, 0x1.1ee9dbd0d86a6p-29,  -0x1.27e4f7f19d4b2p-22,
                                     0x1.a01a019c8f3eep-16, -0x1.6c16c16c15016p-10, 0x1.555555555554bp-5};

/// erf(x) = x + x q(x^2), |x| <= 1.2 (f32), 1.25 (f64). Relative error: f32 2^-26.1, f64 2^-54.6.
inline constexpr double erf_small_f32[] = {0x1.11a8fap-14, -0x1.8c68fcp-11, 0x1.5044d8p-8, -0x1.b76b36p-6,
                                           0x1.ce2376p-4,  -0x1.812702p-2,  0x1.06eba6p-3};
inline constexpr double erf_small_f64[] = {-0x1.cd97a0e7ff697p-39, 0x1.5dde948f8c37dp-34, -0x1.470159204b59cp-30,
                                           0x1.fa540e062f6dap-27,  -0x1.5f431e6adb97p-23, 0x1.b9e158a779968p-20,
                                           -0x1.f4d1eee4ed255p-17, 0x1.f9a320fa4df6dp-14, -0x1.c02db3c6fbf97p-11,
                                           0x1.565bcd0d07a41p-8,   -0x1.b82ce3127e6b3p-6, 0x1.ce2f21a042964p-4,
                                           -0x1.812746b0379e3p-2,  0x1.06eba8214db69p-3};

/// erfc(x)^(1/4) = q(x - 2.56), x in [1.2, 3.93]. Error of q^4: 2^-27.
inline constexpr double erf_large_f32[] = {-0x1.8d83ap-13, -0x1.52b582p-16, 0x1.641a7p-9,   -0x1.7439bcp-8,
                                           -0x1.c2b5b8p-7, 0x1.75f254p-4,   -0x1.6e840cp-3, 0x1.0c364cp-3};

/// log(erfc(x)) = q(x - 3.6), x in [1.25, 5.95]. Error of e^q: 2^-55.8.
inline constexpr double erf_large_f64[] = {-0x1.acdba66703d23p-33, -0x1.18c1791a5f388p-29, -0x1.7aea1915f3642p-27,
                                           -0x1.394b60b64b1ap-25,  -0x1.197a24f45b205p-24, -0x1.6b8d4aed38553p-23,
                                           0x1.e0a737995fe77p-22,  -0x1.ced499b389ffep-19, 0x1.6ef95a7a5fd07p-16,
                                           -0x1.17c394399c42fp-13, 0x1.a54f1cbf94ebp-11,   -0x1.407fef7c2c208p-8,
                                           -0x1.efc10e28557d8p-1,  -0x1.dd6a24fee80ecp2,   -0x1.db28b6e93c9e2p3};

/// log2((1 + s) / (1 - s)) = s q(s^2), |s| <= 0.1716. Relative error 2^-37.7.
inline constexpr double log2_pow_f32[] = {0x1.5d08f7fe0b55p-2, 0x1.a58bd3c525dc6p-2, 0x1.2777836ba2a3ep-1,
                                          0x1.ec709d0e49716p-1, 0x1.71547652bf17bp1};

/// 2^r = q(r), |r| <= 1/2. Relative error 2^-28.5.
inline constexpr double exp2_pow_f32[] = {0x1.449928e1fb9bcp-13, 0x1.5f48f45ce432bp-10, 0x1.3b2995b6cdfe1p-7,
                                          0x1.c6aecbfb7ce9ep-5,  0x1.ebfbe10e870dbp-3,  0x1.62e430d08888dp-1,
                                          0x1.ffffffff4dbdcp-1};

/// 2 atanh(s) = 2 s + s (2/3 z + z^2 q(z)), z = s^2, |s| <= 0.1716. Error of z^2 q(z): 2^-61.8.
inline constexpr double log_pow_f64[] = {0x1.08a4f48736736p-3, 0x1.1014f9e71218ap-3, 0x1.3b18d695d7e91p-3,
                                         0x1.745d0982b1ecbp-3, 0x1.c71c71d8a1c96p-3, 0x1.249249248e16ep-2,
                                         0x1.999999999999fp-2};

} // namespace trellis::elementary::tables
