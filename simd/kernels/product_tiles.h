#pragma once

// What product_nn and product_tn share: C = A' B, rows of B loaded as vectors, elements of A' broadcast.
// A tile of C, tile_rows by tile_vectors, stays in registers (24 sums where there are 32 registers, 12 where
// there are 16) while `depth` outer products are added to it; the panel of B under a column of tiles is
// copied once, so that it lies in the first cache without gaps, its last vector filled with zeros.
//
// Each element of C is one chain of multiply-adds over l = 0 .. k-1, begun at 0, whatever tile, panel or lane
// it falls into. Between two blocks of `depth` terms C holds the chain so far, to the bit. So the bits depend
// neither on m and n, nor on how a caller splits them, nor on the constants below. With `add` each block of
// `depth` terms is a chain of its own, begun at 0, and the bits depend on tile_depth too.

#include "simd/dispatch.h"
#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// Outer products to one visit of a tile.
constexpr std::size_t tile_depth = 256;
// With fewer rows of C than this, copying the panel of B costs more than it saves.
constexpr std::size_t rows_worth_a_copy = 24;
// A larger B (bytes) comes from beyond the near caches, and the rows of a panel lie too far apart for the
// processor to prefetch them: the kernel does.
constexpr std::size_t large_matrix = std::size_t{1} << 20;
// Rows of A' that are visited by one panel of B after another stay in the second cache: as many at a time as
// have this many bytes in a block of `depth` terms.
constexpr std::size_t near_rows = std::size_t{1} << 17;

// Element (row, l) of A' is a[row * lda + l], or a[l * lda + row] if transposed. Whether the sums are added
// to C is a template argument, because the code for both cases needs more registers than there are.
template <bool transposed, bool adds, class T>
struct TileArgs {
  std::size_t depth;
  const T* a;
  std::size_t lda;
  const T* b;  // row l at b + l * ldb, whole vectors
  std::size_t ldb;
  T* c;
  std::size_t ldc;
  std::size_t last_lanes;  // of the last vector of C
  bool first;              // C is not read: the chains begin
  T scale;
  // Prefetched while a tile is computed: one cache line of row l of the next panel, at next + l *
  // next_stride.
  const T* next;
  std::size_t next_stride;

  SOFTSTEP_INLINE const T* at(std::size_t row, std::size_t l) const {
    return transposed ? a + l * lda + row : a + row * lda + l;
  }
};

// Reads *p here. The asm keeps the compiler from reading it earlier and holding a register for it.
template <class T>
SOFTSTEP_INLINE T read_now(const T* p) {
  asm("" : "+r"(p));
  return *p;
}

// Prefetches the lines of C that are read once the sums are complete.
template <std::size_t n_rows, std::size_t n_vectors, bool transposed, bool adds, class T>
SOFTSTEP_INLINE void fetch_tile(const TileArgs<transposed, adds, T>& in) {
  constexpr std::size_t line = 64 / sizeof(T), columns = n_vectors * Vec<T>::width;
  SOFTSTEP_UNROLL
  for (std::size_t r = 0; r < n_rows; ++r) {
    SOFTSTEP_UNROLL
    for (std::size_t j = 0; j < columns; j += line) __builtin_prefetch(in.c + r * in.ldc + j, 1);
  }
}

template <std::size_t n_rows, std::size_t n_vectors, bool transposed, bool adds, class T>
SOFTSTEP_INLINE void tile(const TileArgs<transposed, adds, T>& in) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  if constexpr (adds) fetch_tile<n_rows, n_vectors>(in);
  V sums[n_rows][n_vectors];
  SOFTSTEP_UNROLL
  for (std::size_t r = 0; r < n_rows; ++r) {
    SOFTSTEP_UNROLL
    for (std::size_t v = 0; v < n_vectors; ++v) {
      const T* c = in.c + r * in.ldc + v * w;
      sums[r][v] = adds || in.first                           ? V::all(0)
                   : v + 1 == n_vectors && in.last_lanes != w ? load_part(c, in.last_lanes)
                                                              : V::load(c);
    }
  }
  const T* b = in.b;
  const T* a[n_rows];
  SOFTSTEP_UNROLL
  for (std::size_t r = 0; r < n_rows; ++r) a[r] = in.at(r, 0);
  for (std::size_t l = 0; l < in.depth; ++l) {
    V row[n_vectors];
    SOFTSTEP_UNROLL
    for (std::size_t v = 0; v < n_vectors; ++v) row[v] = V::load(b + v * w);
    b += in.ldb;
    __builtin_prefetch(in.next + l * in.next_stride, 0, 2);
    SOFTSTEP_UNROLL
    for (std::size_t r = 0; r < n_rows; ++r) {
      const V x = V::all(transposed ? a[0][l * in.lda + r] : a[r][l]);
      SOFTSTEP_UNROLL
      for (std::size_t v = 0; v < n_vectors; ++v) sums[r][v] = fma(x, row[v], sums[r][v]);
    }
  }
  // Read after the loop: inside the loop there is no register left for the scale.
  const V scale = V::all(adds ? read_now(&in.scale) : T(0));
  SOFTSTEP_UNROLL
  for (std::size_t r = 0; r < n_rows; ++r) {
    SOFTSTEP_UNROLL
    for (std::size_t v = 0; v < n_vectors; ++v) {
      T* c = in.c + r * in.ldc + v * w;
      const bool part = v + 1 == n_vectors && in.last_lanes != w;
      if constexpr (adds)
        sums[r][v] = fma(scale, sums[r][v], part ? load_part(c, in.last_lanes) : V::load(c));
      if (part)
        store_part(sums[r][v], c, in.last_lanes);
      else
        sums[r][v].store(c);
    }
  }
}

// All rows of C over one panel of B. Each tile prefetches another line of the next panel's rows, while there
// are any.
template <std::size_t n_vectors, bool transposed, bool adds, class T>
void column_of_tiles(const TileArgs<transposed, adds, T>& panel, std::size_t m) {
  TileArgs<transposed, adds, T> in = panel;
  constexpr std::size_t line = 64 / sizeof(T);
  std::size_t i = 0, lines = in.next_stride == 0 ? 0 : (n_vectors * Vec<T>::width + line - 1) / line;
  const auto step = [&]<std::size_t n_rows>() SOFTSTEP_LAMBDA_INLINE {
    tile<n_rows, n_vectors>(in);
    if (lines > 1) {
      --lines;
      in.next += line;
    } else {
      in.next = in.b;
      in.next_stride = 0;
    }
    in.a = in.at(n_rows, 0);
    in.c += n_rows * in.ldc;
    i += n_rows;
  };
  while (i + tile_rows <= m) step.template operator()<tile_rows>();
  if (i + 4 <= m) step.template operator()<4>();
  if (i + 2 <= m) step.template operator()<2>();
  if (i < m) step.template operator()<1>();
}

template <class T>
SOFTSTEP_INLINE void copy_panel(std::size_t depth, std::size_t n_vectors, std::size_t last_lanes, const T* b,
                                std::size_t ldb, T* panel) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  for (std::size_t l = 0; l < depth; ++l, b += ldb, panel += n_vectors * w) {
    for (std::size_t v = 0; v + 1 < n_vectors; ++v) V::load(b + v * w).store(panel + v * w);
    const T* last = b + (n_vectors - 1) * w;
    (last_lanes == w ? V::load(last) : load_part(last, last_lanes)).store(panel + (n_vectors - 1) * w);
  }
}

// Rows of C at a time: all, or so many that those of A' stay near. A split costs another copy of each panel.
template <class T>
SOFTSTEP_INLINE std::size_t rows_together(const ProductArgs<T>& in) {
  const std::size_t depth = in.k < tile_depth ? in.k : tile_depth;
  if (in.m * depth * sizeof(T) <= 2 * near_rows) return in.m;
  const std::size_t rows = near_rows / (depth * sizeof(T));
  return rows / tile_rows * tile_rows;
}

template <bool transposed, bool adds, class T>
SOFTSTEP_INLINE void columns_of_tiles(const ProductArgs<T>& in) {
  constexpr std::size_t w = Vec<T>::width;
  alignas(64) T panel[tile_depth * tile_vectors * w];
  // The columns are split into panels as evenly as possible: 5 vectors into 3 and 2, not 4 and 1.
  const std::size_t vectors = (in.n + w - 1) / w, panels = (vectors + tile_vectors - 1) / tile_vectors;
  std::size_t first = 0;
  do {
    const std::size_t depth = in.k - first < tile_depth ? in.k - first : tile_depth;
    for (std::size_t p = 0; p < panels; ++p) {
      const std::size_t begin = vectors * p / panels, n_vectors = vectors * (p + 1) / panels - begin;
      const std::size_t j = begin * w, columns = in.n - j < n_vectors * w ? in.n - j : n_vectors * w;
      const T* b = in.b + first * in.ldb + j;
      TileArgs<transposed, adds, T> args{depth,      in.a,     in.lda, b,
                                         in.ldb,     in.c + j, in.ldc, columns - (n_vectors - 1) * w,
                                         first == 0, in.scale, b,      0};
      if (p + 1 < panels && in.k * in.n * sizeof(T) >= large_matrix) {
        args.next = b + n_vectors * w;
        args.next_stride = in.ldb;
      }
      args.a = args.at(0, first);
      if (args.last_lanes != w || in.m >= rows_worth_a_copy) {
        copy_panel(depth, n_vectors, args.last_lanes, args.b, args.ldb, panel);
        args.b = panel;
        args.ldb = n_vectors * w;
      }
      if (n_vectors == 1)
        column_of_tiles<1>(args, in.m);
      else if (n_vectors == 2)
        column_of_tiles<2>(args, in.m);
      else if constexpr (tile_vectors > 2) {
        if (n_vectors == 3)
          column_of_tiles<3>(args, in.m);
        else
          column_of_tiles<tile_vectors>(args, in.m);
      }
    }
    first += depth;
  } while (first < in.k);
}

template <bool transposed, class T>
void product_by_tiles(const ProductArgs<T>& in) {
  const std::size_t rows = rows_together(in);
  for (std::size_t first = 0; first < in.m; first += rows) {
    ProductArgs<T> part = in;
    part.m = in.m - first < rows ? in.m - first : rows;
    part.a = transposed ? in.a + first : in.a + first * in.lda;
    part.c = in.c + first * in.ldc;
    if (in.add)
      columns_of_tiles<transposed, true>(part);
    else
      columns_of_tiles<transposed, false>(part);
  }
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
