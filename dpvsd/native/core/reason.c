#include "reason.h"

const char *const drop_reason_name[] = {
#define X(NAME, TEXT, HELP) [DROP_##NAME] = TEXT,
    DROP_REASONS(X)
#undef X
};

const char *const drop_reason_help[] = {
#define X(NAME, TEXT, HELP) [DROP_##NAME] = HELP,
    DROP_REASONS(X)
#undef X
};
