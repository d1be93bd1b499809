#include "gateway/delivery.h"

#include "common/log.h"

namespace headroom::gateway {

template <typename Message>
void Delivery<Message>::Granted() {
  if (!granted_) sink_.Granted();
  granted_ = true;
}

template <typename Message>
Task<bool> Delivery<Message>::Ready() {
  const bool drained = co_await Drained();
  co_return drained && !stop_.stop_requested();
}

template <typename Message>
void Delivery<Message>::Hand(const Message& piece) {
  handed_ = true;
  taken_event_.Reset();
  sink_.Piece(piece, [this](bool taken) {
    taken_ = taken;
    taken_event_.Set();
  });
}

template <typename Message>
Task<bool> Delivery<Message>::Piece(const Message& piece) {
  const bool ready = co_await Ready();
  if (ready) Hand(piece);
  co_return ready;
}

template <typename Message>
Task<bool> Delivery<Message>::Drained() {
  if (!handed_) co_return taken_;
  if (!taken_event_.is_set()) {
    const Timer unread(timers_, SystemClock().Now() + unread_max_, [this] {
      Log(LogLevel::kWarning, "gateway", "client does not read: call cancelled");
      stop_.request_stop();
      sink_.Disconnect();
    });
    co_await taken_event_;
  }
  handed_ = false;
  co_return taken_;
}

template class Delivery<v1::GenerateResponse>;
template class Delivery<v1::EmbedResponse>;

}  // namespace headroom::gateway
