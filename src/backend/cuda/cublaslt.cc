#include "backend/cuda/cublaslt.h"

#include <dlfcn.h>

#include <string>

#include "backend/cuda/free_order.h"
#include "base/check.h"

namespace ingot::cuda {

/// The library's functions; their types are those of its header.
struct CublasLt::Library {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) get_heuristic = nullptr;
  decltype(&cublasLtMatmulAlgoCheck) check_algorithm = nullptr;
  decltype(&cublasLtMatmulDescCreate) create_operation = nullptr;
  decltype(&cublasLtMatmulDescDestroy) destroy_operation = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) set_operation = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) create_layout = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference = nullptr;

  Library();
};

namespace {

/// The library stays open: its own threads and kernels outlive any one backend.
void* open_library() {
  std::string tried;
  for (const char* name :
       {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11", "/usr/local/cuda/lib64/libcublasLt.so",
        "/usr/local/cuda/lib64/libcublasLt.so.13", "/usr/local/cuda/lib64/libcublasLt.so.12"}) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
    tried += tried.empty() ? name : std::string(", ") + name;
  }
  const char* reason = dlerror();
  fail(ErrorCode::unsupported, "cuda: expected the library cuBLASLt, found none of {} ({})", tried,
       reason == nullptr ? "no reason given" : reason);
}

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) fail(ErrorCode::unsupported, "cuda: cuBLASLt has no function {}", name);
}

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const ErrorCode code =
      status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorCode::out_of_memory : ErrorCode::device_failed;
  fail(code, "cuda: {}: cuBLAS status {}", what, static_cast<int>(status));
}

/// What one of the library's create functions has made.
template <class T>
class Owned {
 public:
  template <class Create, class... Args>
  Owned(const char* what, cublasStatus_t (*destroy)(T), Create create, Args... args) : destroy_(destroy) {
    check(create(&value_, args...), what);
  }
  ~Owned() { static_cast<void>(destroy_(value_)); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  T get() const { return value_; }

 private:
  T value_ = nullptr;
  cublasStatus_t (*destroy_)(T);
};

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f16:
      return CUDA_R_16F;
    default:
      return CUDA_R_32F;
  }
}

}  // namespace

CublasLt::Library::Library() {
  void* library = open_library();
  find(library, "cublasLtCreate", create);
  find(library, "cublasLtDestroy", destroy);
  find(library, "cublasLtMatmul", matmul);
  find(library, "cublasLtMatmulAlgoGetHeuristic", get_heuristic);
  find(library, "cublasLtMatmulAlgoCheck", check_algorithm);
  find(library, "cublasLtMatmulDescCreate", create_operation);
  find(library, "cublasLtMatmulDescDestroy", destroy_operation);
  find(library, "cublasLtMatmulDescSetAttribute", set_operation);
  find(library, "cublasLtMatrixLayoutCreate", create_layout);
  find(library, "cublasLtMatrixLayoutDestroy", destroy_layout);
  find(library, "cublasLtMatmulPreferenceCreate", create_preference);
  find(library, "cublasLtMatmulPreferenceDestroy", destroy_preference);
  find(library, "cublasLtMatmulPreferenceSetAttribute", set_preference);
}

/// A product as the library describes it. It counts columns first: our [rows, in] is its in x rows, and what
/// it computes is sums^T = weight x^T.
struct CublasLt::Description {
  Description(const Library& library, const MatrixProduct& p, int64_t rows)
      : operation("cublasLtMatmulDescCreate", library.destroy_operation, library.create_operation,
                  CUBLAS_COMPUTE_32F, CUDA_R_32F),
        weight("cublasLtMatrixLayoutCreate", library.destroy_layout, library.create_layout, type_of(p.dtype),
               static_cast<uint64_t>(p.is_in_out ? p.out : p.in),
               static_cast<uint64_t>(p.is_in_out ? p.in : p.out), p.is_in_out ? p.out : p.in),
        x("cublasLtMatrixLayoutCreate", library.destroy_layout, library.create_layout, type_of(p.dtype),
          static_cast<uint64_t>(p.in), static_cast<uint64_t>(rows), p.x_stride),
        sums("cublasLtMatrixLayoutCreate", library.destroy_layout, library.create_layout, CUDA_R_32F,
             static_cast<uint64_t>(p.out), static_cast<uint64_t>(rows), p.stride) {
    const cublasOperation_t transposed = p.is_in_out ? CUBLAS_OP_N : CUBLAS_OP_T;
    check(
        library.set_operation(operation.get(), CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)),
        "cublasLtMatmulDescSetAttribute");
  }
  Owned<cublasLtMatmulDesc_t> operation;
  Owned<cublasLtMatrixLayout_t> weight;
  Owned<cublasLtMatrixLayout_t> x;
  Owned<cublasLtMatrixLayout_t> sums;
};

CublasLt::CublasLt(PooledBuffer workspace)
    : library_(std::make_unique<Library>()), workspace_(std::move(workspace)) {
  INGOT_CHECK(workspace_.bytes() >= kWorkspaceBytes, "cublaslt: a workspace of {} bytes", workspace_.bytes());
  check(library_->create(&handle_), "cublasLtCreate");
}

CublasLt::~CublasLt() {
  if (handle_ != nullptr) static_cast<void>(library_->destroy(handle_));
}

const std::optional<cublasLtMatmulAlgo_t>& CublasLt::algorithm(const MatrixProduct& product) {
  const Shape shape{product.in,
                    product.out,
                    product.x_stride,
                    product.stride,
                    product.dtype,
                    product.is_in_out,
                    kFreeOrder ? product.rows : 0};
  const auto [found, is_new] = algorithms_.try_emplace(shape);
  if (!is_new) return found->second;

  const Library& library = *library_;
  const Owned<cublasLtMatmulPreference_t> preference("cublasLtMatmulPreferenceCreate",
                                                     library.destroy_preference, library.create_preference);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check(library.set_preference(preference.get(), attribute, &value, sizeof(value)),
          "cublasLtMatmulPreferenceSetAttribute");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspaceBytes});
  if (!kFreeOrder)
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});
  for (cublasLtMatmulPreferenceAttributes_t operand :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    prefer(operand, uint32_t{16});
  }

  // The best for a usual chunk of a prompt that can also run any other number of rows.
  constexpr int64_t kUsualRows = 512;
  constexpr int kCandidates = 16;
  const Description usual(library, product, kFreeOrder ? product.rows : kUsualRows);
  cublasLtMatmulHeuristicResult_t candidates[kCandidates] = {};
  int count = 0;
  const cublasStatus_t status = library.get_heuristic(handle_, usual.operation.get(), usual.weight.get(),
                                                      usual.x.get(), usual.sums.get(), usual.sums.get(),
                                                      preference.get(), kCandidates, candidates, &count);
  if (status != CUBLAS_STATUS_SUCCESS) count = 0;  // what it cannot multiply has other kernels
  for (int i = 0; i < count && !found->second; ++i) {
    if (candidates[i].state != CUBLAS_STATUS_SUCCESS) continue;
    bool runs = true;
    if (kFreeOrder) {
      found->second = candidates[i].algo;
      continue;
    }
    for (int64_t rows : {1, 3, 17, 64, 130, 1024, 4096}) {
      const Description other(library, product, rows);
      cublasLtMatmulHeuristicResult_t result = {};
      runs = runs &&
             library.check_algorithm(handle_, other.operation.get(), other.weight.get(), other.x.get(),
                                     other.sums.get(), other.sums.get(), &candidates[i].algo,
                                     &result) == CUBLAS_STATUS_SUCCESS &&
             result.workspaceSize <= kWorkspaceBytes;
    }
    if (runs) found->second = candidates[i].algo;
  }
  return found->second;
}

bool CublasLt::supports(const MatrixProduct& product) {
  return algorithm(product).has_value();
}

void CublasLt::multiply(const MatrixProduct& product, cudaStream_t stream) {
  if (product.rows == 0) return;
  const std::optional<cublasLtMatmulAlgo_t>& chosen = algorithm(product);
  INGOT_CHECK(chosen.has_value(), "cublaslt: no algorithm for a weight of {} x {} {}", product.out,
              product.in, to_string(product.dtype));
  const Description description(*library_, product, product.rows);
  const float alpha = 1;
  const float beta = product.add == nullptr ? 0 : 1;
  check(library_->matmul(handle_, description.operation.get(), &alpha, product.weight,
                         description.weight.get(), product.x, description.x.get(), &beta,
                         product.add == nullptr ? product.sums : product.add, description.sums.get(),
                         product.sums, description.sums.get(), &*chosen, workspace_.data(), kWorkspaceBytes,
                         stream),
        "cublasLtMatmul");
}

}  // namespace ingot::cuda
