#ifndef SEGMENT_REFRESH_H
#define SEGMENT_REFRESH_H
#include "nodes/pg_list.h"
extern void segment_refresh_mark_unbuilt(int32 id);
extern void segment_refresh_forget(int32 id);
extern void segment_refresh_segments(List *viewIds);
#endif
