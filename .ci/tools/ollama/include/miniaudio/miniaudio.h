/* Stands in for the audio library that Ollama's audio input would use: every decode says "not implemented".
   Nayru's tests send text only; the names are those that the Ollama sources call, the bodies are our own. */
#ifndef NAYRU_MINIAUDIO_STAND_IN
#define NAYRU_MINIAUDIO_STAND_IN
#include <stddef.h>

typedef unsigned long long ma_uint64;
typedef unsigned int ma_uint32;
typedef int ma_result;
typedef enum { ma_format_unknown = 0, ma_format_f32 = 5 } ma_format;
typedef struct { ma_format format; ma_uint32 channels, sampleRate; } ma_decoder_config;
typedef struct { int unused; } ma_decoder;
enum { MA_SUCCESS = 0, MA_NOT_IMPLEMENTED = -29 };

static inline ma_decoder_config ma_decoder_config_init(ma_format format, ma_uint32 channels, ma_uint32 rate) {
  ma_decoder_config config = {format, channels, rate};
  return config;
}
static inline ma_result ma_decoder_init_memory(const void *data, size_t size, const ma_decoder_config *config, ma_decoder *decoder) {
  (void)data, (void)size, (void)config, (void)decoder;
  return MA_NOT_IMPLEMENTED;
}
static inline ma_result ma_decoder_get_length_in_pcm_frames(ma_decoder *decoder, ma_uint64 *length) {
  (void)decoder;
  *length = 0;
  return MA_NOT_IMPLEMENTED;
}
static inline ma_result ma_decoder_read_pcm_frames(ma_decoder *decoder, void *frames, ma_uint64 count, ma_uint64 *read) {
  (void)decoder, (void)frames, (void)count;
  if (read) *read = 0;
  return MA_NOT_IMPLEMENTED;
}
static inline ma_result ma_decoder_uninit(ma_decoder *decoder) {
  (void)decoder;
  return MA_SUCCESS;
}
#endif
