// A digit is a few strokes, each a curve or a polygon line through points of the unit square (y grows
// downwards). Its points are shaken, bent, sheared, rotated, scaled and placed; a pixel's ink follows from
// its distance to the nearest stroke; blur and noise come last.
//
// The same bytes everywhere: only + - * / sqrt (exact by IEEE 754) and comparisons, no contraction to
// fma (a compile option of this file), no std::distribution.
#include "compiler/data/digits.h"
#include "compiler/data/random.h"
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace trellis {

namespace {

constexpr int kSide = 28, kPixels = kSide * kSide;

struct Point {
  double x, y;
};

enum class Shape : uint8_t { none, lines, curve, closed };

constexpr int kMostPoints = 12, kMostStrokes = 3;
struct Stroke {
  Shape shape = Shape::none;
  int count = 0;
  std::array<Point, kMostPoints> points{};
};
struct Glyph {
  int digit;
  std::array<Stroke, kMostStrokes> strokes;
};

template <class... P> constexpr Stroke stroke(Shape shape, P... points) {
  static_assert(sizeof...(P) <= kMostPoints);
  return {shape, int(sizeof...(P)), {points...}};
}
using P = Point;

// Ways in which people write each digit.
constexpr Glyph kGlyphs[] = {
    {0,
     {stroke(Shape::closed, P{.5, .03}, P{.8, .2}, P{.88, .5}, P{.8, .8}, P{.5, .97}, P{.2, .8}, P{.12, .5},
             P{.2, .2})}},
    {0,
     {stroke(Shape::closed, P{.56, .03}, P{.76, .22}, P{.74, .55}, P{.6, .88}, P{.42, .97}, P{.25, .78}, P{.27, .42},
             P{.4, .12})}},
    {0,
     {stroke(Shape::curve, P{.62, .06}, P{.38, .08}, P{.16, .35}, P{.18, .75}, P{.46, .97}, P{.78, .8}, P{.86, .42},
             P{.66, .1}, P{.5, .07})}},
    {1, {stroke(Shape::lines, P{.5, .03}, P{.5, .97})}},
    {1, {stroke(Shape::lines, P{.3, .26}, P{.53, .03}, P{.53, .97})}},
    {1, {stroke(Shape::lines, P{.3, .24}, P{.52, .03}, P{.52, .97}), stroke(Shape::lines, P{.28, .97}, P{.78, .97})}},
    {2,
     {stroke(Shape::curve, P{.18, .26}, P{.32, .08}, P{.58, .04}, P{.78, .2}, P{.72, .44}, P{.45, .72}, P{.17, .96}),
      stroke(Shape::lines, P{.17, .96}, P{.84, .95})}},
    {2,
     {stroke(Shape::curve, P{.2, .22}, P{.42, .04}, P{.72, .1}, P{.75, .36}, P{.5, .68}, P{.24, .92}, P{.14, .82},
             P{.32, .74}, P{.6, .9}, P{.88, .88})}},
    {2,
     {stroke(Shape::curve, P{.22, .14}, P{.5, .03}, P{.74, .16}, P{.7, .4}, P{.4, .66}, P{.18, .95}, P{.5, .92},
             P{.82, .95})}},
    {3,
     {stroke(Shape::curve, P{.2, .16}, P{.45, .03}, P{.74, .14}, P{.7, .38}, P{.42, .47}),
      stroke(Shape::curve, P{.42, .47}, P{.76, .56}, P{.8, .8}, P{.52, .97}, P{.18, .85})}},
    {3,
     {stroke(Shape::lines, P{.2, .05}, P{.76, .05}, P{.46, .4}),
      stroke(Shape::curve, P{.46, .4}, P{.76, .52}, P{.78, .8}, P{.5, .97}, P{.18, .87})}},
    {3,
     {stroke(Shape::curve, P{.24, .08}, P{.6, .04}, P{.76, .22}, P{.58, .42}, P{.46, .47}, P{.7, .54}, P{.8, .76},
             P{.56, .96}, P{.2, .92})}},
    {4, {stroke(Shape::lines, P{.28, .05}, P{.18, .55}, P{.85, .53}), stroke(Shape::lines, P{.66, .28}, P{.64, .97})}},
    {4, {stroke(Shape::lines, P{.64, .97}, P{.64, .04}, P{.13, .66}, P{.88, .66})}},
    {4,
     {stroke(Shape::curve, P{.24, .06}, P{.18, .34}, P{.26, .53}, P{.5, .54}, P{.72, .44}),
      stroke(Shape::lines, P{.76, .06}, P{.68, .97})}},
    {5,
     {stroke(Shape::lines, P{.78, .05}, P{.3, .05}, P{.25, .44}),
      stroke(Shape::curve, P{.25, .44}, P{.52, .36}, P{.8, .54}, P{.78, .82}, P{.48, .97}, P{.18, .86})}},
    {5,
     {stroke(Shape::lines, P{.82, .08}, P{.34, .05}),
      stroke(Shape::curve, P{.34, .05}, P{.28, .38}, P{.6, .44}, P{.76, .66}, P{.58, .92}, P{.18, .94})}},
    {6,
     {stroke(Shape::curve, P{.7, .04}, P{.4, .22}, P{.2, .58}, P{.28, .88}, P{.54, .97}, P{.8, .78}, P{.7, .56},
             P{.46, .5}, P{.24, .68})}},
    {6,
     {stroke(Shape::curve, P{.44, .03}, P{.28, .36}, P{.2, .72}, P{.36, .95}, P{.66, .93}, P{.76, .72}, P{.56, .56},
             P{.32, .66}, P{.24, .8})}},
    {7, {stroke(Shape::lines, P{.16, .06}, P{.83, .06}, P{.4, .97})}},
    {7,
     {stroke(Shape::lines, P{.18, .08}, P{.82, .06}),
      stroke(Shape::curve, P{.82, .06}, P{.58, .42}, P{.47, .7}, P{.44, .97})}},
    {7, {stroke(Shape::lines, P{.17, .06}, P{.82, .06}, P{.4, .97}), stroke(Shape::lines, P{.34, .5}, P{.78, .48})}},
    {8,
     {stroke(Shape::closed, P{.5, .48}, P{.24, .27}, P{.5, .03}, P{.76, .27}, P{.5, .48}, P{.18, .75}, P{.5, .97},
             P{.82, .75})}},
    {8,
     {stroke(Shape::curve, P{.74, .14}, P{.46, .04}, P{.26, .22}, P{.5, .46}, P{.78, .72}, P{.54, .97}, P{.2, .8},
             P{.44, .5}, P{.76, .2}, P{.72, .1})}},
    {9,
     {stroke(Shape::closed, P{.76, .28}, P{.52, .03}, P{.24, .26}, P{.5, .52}),
      stroke(Shape::lines, P{.77, .24}, P{.7, .97})}},
    {9,
     {stroke(Shape::curve, P{.76, .2}, P{.5, .04}, P{.24, .24}, P{.4, .5}, P{.66, .42}, P{.78, .18}, P{.76, .6},
             P{.56, .94}, P{.24, .9})}},
};
constexpr int kGlyphCount = int(sizeof kGlyphs / sizeof *kGlyphs);

constexpr int count_of(int digit) {
  return int(std::count_if(std::begin(kGlyphs), std::end(kGlyphs), [&](const Glyph &g) { return g.digit == digit; }));
}

/// Straight pieces of all strokes, in pixels.
struct Outline {
  std::array<std::pair<Point, Point>, kMostStrokes * kMostPoints * 8> pieces;
  int count = 0;
  void add(Point a, Point b) { pieces[size_t(count++)] = {a, b}; }
};

/// The uniform Catmull-Rom spline between `b` and `c`: through its points, with the slope of their
/// neighbours.
Point spline(Point a, Point b, Point c, Point d, double t) {
  auto blend = [t](double a, double b, double c, double d) {
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
  };
  return {blend(a.x, b.x, c.x, d.x), blend(a.y, b.y, c.y, d.y)};
}

void flatten(const Stroke &s, Outline &out) {
  constexpr int kSteps = 7;
  auto point = [&](int i) {
    return s.points[size_t(s.shape == Shape::closed ? (i + s.count) % s.count : std::clamp(i, 0, s.count - 1))];
  };
  const int spans = s.shape == Shape::closed ? s.count : s.count - 1;
  for (int i = 0; i < spans; ++i) {
    if (s.shape == Shape::lines) {
      out.add(point(i), point(i + 1));
      continue;
    }
    Point from = point(i);
    for (int k = 1; k <= kSteps; ++k) {
      Point to = spline(point(i - 1), point(i), point(i + 1), point(i + 2), double(k) / kSteps);
      out.add(from, to);
      from = to;
    }
  }
}

/// The writer's hand for one sample: a map from the unit square to pixels.
class Hand {
public:
  explicit Hand(Random &random) {
    const double half_turn = random.bell() * 0.065; // tan(angle / 2): so that sine and cosine need no library
    const double c = (1 - half_turn * half_turn) / (1 + half_turn * half_turn),
                 s = 2 * half_turn / (1 + half_turn * half_turn);
    const double width = random.uniform(12, 18), height = random.uniform(15.5, 20.5), shear = random.bell() * 0.16;
    xx_ = c * width, xy_ = c * shear * height - s * height;
    yx_ = s * width, yy_ = s * shear * height + c * height;
    x_ = 13.5 + random.bell() * 1.1, y_ = 13.5 + random.bell() * 1.1;
    bend_x_ = random.bell() * 0.16, bend_y_ = random.bell() * 0.12;
    swell_x_ = random.bell() * 0.14, swell_y_ = random.bell() * 0.14;
    shake_ = random.uniform(0.012, 0.04);
  }
  Point map(Point p, Random &random) const {
    double x = p.x - 0.5 + random.bell() * shake_, y = p.y - 0.5 + random.bell() * shake_;
    const double u = x + bend_x_ * (4 * y * y - 0.5) * 0.5 + swell_x_ * x * y; // bent, and wider at one end
    const double v = y + bend_y_ * (4 * x * x - 0.5) * 0.5 + swell_y_ * x * y;
    return {xx_ * u + xy_ * v + x_, yx_ * u + yy_ * v + y_};
  }

private:
  double xx_, xy_, yx_, yy_, x_, y_, bend_x_, bend_y_, swell_x_, swell_y_, shake_;
};

using Image = std::array<float, kPixels>;

/// Squared distance of every pixel to the nearest piece, as far as `reach`; further ones keep a large number.
void squared_distances(const Outline &outline, float reach, Image &out) {
  out.fill(1e9f);
  auto pixel = [](double v) { return int(std::clamp(v, 0.0, double(kSide))); };
  for (int i = 0; i < outline.count; ++i) {
    const auto &[a, b] = outline.pieces[size_t(i)];
    const int x0 = pixel(std::min(a.x, b.x) - reach), x1 = pixel(std::max(a.x, b.x) + reach + 1);
    const int y0 = pixel(std::min(a.y, b.y) - reach), y1 = pixel(std::max(a.y, b.y) + reach + 1);
    const float ax = float(a.x), ay = float(a.y), dx = float(b.x - a.x), dy = float(b.y - a.y);
    const float length = dx * dx + dy * dy, inverse = length > 0 ? 1 / length : 0;
    for (int y = y0; y < y1; ++y)
      for (int x = x0; x < x1; ++x) {
        const float px = float(x) - ax, py = float(y) - ay;
        const float along = std::clamp((px * dx + py * dy) * inverse, 0.0f, 1.0f);
        const float ex = px - along * dx, ey = py - along * dy;
        float &d = out[size_t(y * kSide + x)];
        d = std::min(d, ex * ex + ey * ey);
      }
  }
}

/// A mix of the image and its 1-2-1 blur in both directions.
void blur(Image &image, float weight) {
  Image rows;
  auto at = [](const Image &i, int y, int x) {
    return y < 0 || x < 0 || y >= kSide || x >= kSide ? 0.0f : i[size_t(y * kSide + x)];
  };
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x)
      rows[size_t(y * kSide + x)] = 0.25f * (at(image, y, x - 1) + at(image, y, x + 1)) + 0.5f * at(image, y, x);
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x) {
      float soft = 0.25f * (at(rows, y - 1, x) + at(rows, y + 1, x)) + 0.5f * at(rows, y, x);
      float &v = image[size_t(y * kSide + x)];
      v += weight * (soft - v);
    }
}

int draw(uint64_t seed, uint64_t index, float *to) {
  Random random(seed, index);
  const int digit = int(random.below(10));
  const Glyph *glyph = kGlyphs;
  while (glyph->digit != digit) ++glyph;
  glyph += random.below(uint32_t(count_of(digit)));

  const Hand hand(random);
  Outline outline;
  for (Stroke s : glyph->strokes) {
    if (s.shape == Shape::none) continue;
    for (int i = 0; i < s.count; ++i) s.points[size_t(i)] = hand.map(s.points[size_t(i)], random);
    flatten(s, outline);
  }
  const float half_width = float(random.uniform(0.65, 1.6)), edge = float(random.uniform(0.8, 1.5));
  const float ink = float(random.uniform(0.7, 1)), soft = float(random.uniform(0, 0.8)),
              noise = float(random.uniform(0, 0.12));
  Image image;
  const float reach = half_width + edge;
  squared_distances(outline, reach, image);
  for (float &v : image)
    v = v >= reach * reach ? 0 : ink * std::clamp((half_width - std::sqrt(v)) / edge + 0.5f, 0.0f, 1.0f);
  blur(image, soft);
  for (int i = 0; i < kPixels; ++i) {
    const float v = std::clamp(image[size_t(i)] + noise * float(random.bell()), 0.0f, 1.0f);
    to[i] = float(int(v * 255 + 0.5f)) / 255.0f;
  }
  return digit;
}

static_assert(kGlyphs[kGlyphCount - 1].digit == 9 &&
              std::is_sorted(std::begin(kGlyphs), std::end(kGlyphs),
                             [](const Glyph &a, const Glyph &b) { return a.digit < b.digit; }));

} // namespace

Dataset make_digits(int64_t count, uint64_t seed) {
  Dataset out{.classes = 10};
  for (int i = 0; i < out.classes; ++i) out.class_names.push_back(std::to_string(i));
  out.inputs = Tensor(DType::f32, {count, 1, kSide, kSide});
  out.targets = Tensor(DType::i64, {count});
  float *to = out.inputs.as<float>().data();
  for (int64_t i = 0; i < count; ++i) out.targets.as<int64_t>()[size_t(i)] = draw(seed, uint64_t(i), to + i * kPixels);
  return out;
}

} // namespace trellis
