#include "backend/cuda/imports.h"

namespace ingot::cuda {

std::shared_ptr<const void> Imports::find(const void* data, size_t bytes) const {
  const std::lock_guard lock(mutex_);
  const auto found = imported_.find({data, bytes});
  return found == imported_.end() ? nullptr : found->second.lock();
}

std::shared_ptr<const void> Imports::add(const void* data, size_t bytes, PooledBuffer buffer,
                                         std::function<void()> before_release) {
  struct Import {
    PooledBuffer buffer;
    std::shared_ptr<Imports> imports;
    Key key;
    std::function<void()> before_release;
    ~Import() {
      before_release();
      const std::lock_guard lock(imports->mutex_);
      const auto found = imports->imported_.find(key);
      // A new import of the same bytes may have taken the place already.
      if (found != imports->imported_.end() && found->second.expired()) imports->imported_.erase(found);
    }
  };
  void* device = buffer.data();
  auto import = std::make_shared<Import>();
  import->buffer = std::move(buffer);
  import->imports = shared_from_this();
  import->key = {data, bytes};
  import->before_release = std::move(before_release);
  std::shared_ptr<const void> shared(import, device);
  const std::lock_guard lock(mutex_);
  imported_[{data, bytes}] = shared;
  return shared;
}

}  // namespace ingot::cuda
