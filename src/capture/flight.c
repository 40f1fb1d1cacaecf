/*-------------------------------------------------------------------------
 *
 * flight.c
 *		Which statements on sources this backend is in the middle of.
 *
 * Between the first row that a statement changes and its AFTER STATEMENT
 * trigger, a function that the statement calls can see changed rows that no
 * invalidation speaks of yet.  The BEFORE STATEMENT trigger therefore pushes an
 * entry here, which the AFTER STATEMENT trigger of the same source and event
 * pops; a reader that finds an entry for one of its sources evaluates in full.
 *
 * An aborted subtransaction takes the entries made in it along: its id and the
 * ids of the subtransactions inside it are the only ones from its own upwards
 * (SubTransactionIds only grow within a transaction).
 *
 * An entry that is still here when the transaction ends belongs to a statement
 * whose AFTER STATEMENT trigger never came: a data-modifying statement with
 * RETURNING that was stopped after a number of rows (SPI_execute with a row
 * limit), or a trigger that was disabled meanwhile.  What it changed is not known,
 * so "everybody" is recorded before commit and before PREPARE TRANSACTION.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "capture/internal.h"

typedef struct Flight
{
	Oid			relid;
	uint32		event;
	SubTransactionId subid;
	CommandId	command;		/* snapshots with a higher curcid see what it
								 * has written */
} Flight;

static Flight *flights = NULL;	/* in TopMemoryContext, never freed */
static int	nflights = 0;
static int	maxflights = 0;

/* Record everybody for what is left; see the top of the file. */
static void
report_leftovers(void)
{
	while (nflights > 0)
	{
		Oid			relid = flights[nflights - 1].relid;
		int			kept = 0;

		for (int i = 0; i < nflights; i++)
			if (flights[i].relid != relid)
				flights[kept++] = flights[i];
		nflights = kept;
		segment_capture_touch_all(relid);
	}
}

static void
end_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			report_leftovers();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			nflights = 0;
			break;
		default:
			break;
	}
}

static void
end_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int			kept = 0;

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	for (int i = 0; i < nflights; i++)
		if (flights[i].subid < mine)
			flights[kept++] = flights[i];
	nflights = kept;
}

void
segment_flight_push(Oid relid, uint32 event)
{
	if (unlikely(nflights == maxflights))
	{
		if (flights == NULL)
		{
			flights = MemoryContextAlloc(TopMemoryContext, 16 * sizeof(Flight));
			maxflights = 16;
			RegisterXactCallback(end_transaction, NULL);
			RegisterSubXactCallback(end_subtransaction, NULL);
		}
		else
		{
			flights = repalloc(flights, 2 * maxflights * sizeof(Flight));
			maxflights *= 2;
		}
	}
	flights[nflights].relid = relid;
	flights[nflights].event = event;
	flights[nflights].subid = GetCurrentSubTransactionId();
	flights[nflights].command = ActiveSnapshotSet() ? GetActiveSnapshot()->curcid : FirstCommandId;
	nflights++;
}

/* The latest entry of this source and event, -1 if there is none. */
static int
find(Oid relid, uint32 event)
{
	for (int i = nflights - 1; i >= 0; i--)
		if (flights[i].relid == relid && flights[i].event == event)
			return i;
	return -1;
}

void
segment_flight_pop(Oid relid, uint32 event)
{
	int			i = find(relid, event);

	if (i < 0)
		return;
	nflights--;
	for (; i < nflights; i++)
		flights[i] = flights[i + 1];
}

bool
segment_flight_has(Oid relid, uint32 event)
{
	return find(relid, event) >= 0;
}

bool
segment_capture_in_flight(Oid relid, CommandId curcid)
{
	for (int i = 0; i < nflights; i++)
		if ((flights[i].relid == relid || !OidIsValid(relid)) && curcid > flights[i].command)
			return true;
	return false;
}
