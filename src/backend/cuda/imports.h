// Imports: which host bytes are on the device, so that plans and runners of the same weights share one copy.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "memory/buffer_pool.h"

namespace ingot::cuda {

class Imports : public std::enable_shared_from_this<Imports> {
 public:
  /// The device bytes of these host bytes while somebody holds them, or null. An address that comes again
  /// with another size is another import; one that comes again after its last holder went is new.
  std::shared_ptr<const void> find(const void* data, size_t bytes) const;
  /// Shares `buffer` under the host bytes' address until its last holder drops it; `before_release` runs
  /// then, first.
  std::shared_ptr<const void> add(const void* data, size_t bytes, PooledBuffer buffer,
                                  std::function<void()> before_release);

 private:
  using Key = std::pair<const void*, size_t>;
  mutable std::mutex mutex_;
  std::map<Key, std::weak_ptr<const void>> imported_;
};

}  // namespace ingot::cuda
