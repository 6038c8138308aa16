#include "estimate.h"

enum { SCALE = 1024 };

void estimator_update(struct estimator *estimator, const struct traffic *counters, uint64_t now_ms)
{
	struct traffic now = *counters;
	uint64_t passed = now_ms - estimator->at_ms;

	if (estimator->at_ms == 0) {
		estimator->at_ms = now_ms;
		estimator->last = now;
		return;
	}
	if (passed < ESTIMATE_PERIOD_MS)
		return;
	for (unsigned int i = 0; i < TRAFFIC_FIELDS; i++) {
		uint64_t *average = traffic_field(&estimator->rate1024, i);
		uint64_t more = *traffic_field(&now, i) - *traffic_field(&estimator->last, i);
		int64_t latest = (int64_t)((unsigned __int128)more * 1000 * SCALE / passed);

		*average = (uint64_t)((int64_t)*average + (latest - (int64_t)*average) / 4);
	}
	estimator->last = now;
	estimator->at_ms = now_ms;
}

void estimator_rate(const struct estimator *estimator, struct traffic *rate)
{
	struct traffic scaled = estimator->rate1024;

	for (unsigned int i = 0; i < TRAFFIC_FIELDS; i++)
		*traffic_field(rate, i) = (*traffic_field(&scaled, i) + SCALE / 2) / SCALE;
}
