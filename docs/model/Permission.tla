----------------------------- MODULE Permission -----------------------------
\* Permit, renewal, pause set, escrow and crash, as gate and governor do them.
\*
\* A name in small letters is the code's own name for the same thing, a name with a capital is
\* the model's (tests/unit/test_model_names.py holds this). Time is in ticks, work in units, a
\* digest is a number: that of a request is the sequence of its report.
\*
\* There is no network. A report stands in its host's ledger for good, and an authority takes
\* the next one whenever it likes, or never; an answer stands in the authority's store for good,
\* and the gate takes any of them, whenever, in any order, as often as it likes, or never. That
\* is every loss, delay, duplicate and new order that a courier can bring about. What an
\* authority knows is all in its store, written in one step with the answer: a crash between
\* commit and answer is an answer that nobody has taken yet.
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Hosts, Authorities,
    Pauses,         \* digests of the pauses that officers of each authority may sign
    Cap,            \* budget of every authority over all hosts, in units
    Lifetime,       \* lifetime_ms of every permit, in ticks
    Headrooms,      \* what a request may ask for, in units; 0: a report that asks for nothing
    MaxReports,     \* reports of each host
    MaxRuns,        \* runs of each gate; every crash begins a new one
    Short,          \* hosts that make one report in one run instead
    Idle,           \* hosts that hold permits and do no work
    Strict,         \* authorities whose officers sign pauses
    Mutation        \* "none", or the rule that is left out to show that an invariant can fail

VARIABLES
    now,            \* true time, and the governors' clock
    run_nonce,      \* by host: which run of its gate
    Started,        \* by host: true time at which this run began; its clock counts from here
    book,           \* by host: the two books of its lane, as of the last look at the counters
    authorities,    \* by host and authority: what the gate keeps of each authority
    ledger,         \* by host: reports, durable before they leave
    facts,          \* by authority and host: what the governor's store knows
    answers,        \* by authority and host: answers by sequence of the report
    orders,         \* by authority: what its officers ordered
    Done,           \* by host: units of work truly done under permission
    Told,           \* by host and authority: pauses the gate was ever told of
    PausedAt        \* by authority and pause: when it was signed

OfGate == <<run_nonce, Started, book, authorities, ledger>>
OfGovernor == <<facts, answers>>
OfOfficers == <<orders, PausedAt>>
Everything == <<now, OfGate, OfGovernor, OfOfficers, Done, Told>>

Is(name) == Mutation = name
Min(x, y) == IF x < y THEN x ELSE y
Less(x, y) == IF x > y THEN x - y ELSE 0
Highest(S) == IF S = {} THEN 0 ELSE CHOOSE x \in S : \A y \in S : y <= x
Lowest(S) == CHOOSE x \in S : \A y \in S : x <= y
RECURSIVE Sum(_, _)
Sum(f, S) == IF S = {} THEN 0 ELSE LET x == CHOOSE x \in S : TRUE IN f[x] + Sum(f, S \ {x})
Last(s) == s[Len(s)]

NoPermit == [request_digest |-> 0, until_ms |-> 0, ceiling_tflop |-> 0]

Init ==
    /\ now = 0
    /\ run_nonce = [h \in Hosts |-> 1]
    /\ Started = [h \in Hosts |-> 0]
    /\ book = [h \in Hosts |->
        [allotted_tflop |-> 0, unaccounted_tflop |-> 0, covered_until_ms |-> 0]]
    /\ authorities = [h \in Hosts |-> [a \in Authorities |->
        [quote |-> [answer_digest |-> 0, grant |-> 0], permit |-> NoPermit,
         pauses |-> {}, lifted |-> {}, unseen_pauses |-> {}]]]
    /\ ledger = [h \in Hosts |-> <<>>]
    /\ facts = [a \in Authorities |-> [h \in Hosts |->
        [sequence |-> 0, allotted_tflop |-> 0, unaccounted_tflop |-> 0, grants |-> {}]]]
    /\ answers = [a \in Authorities |-> [h \in Hosts |-> <<>>]]
    /\ orders = [a \in Authorities |-> [pauses |-> {}, lifted |-> {}]]
    /\ Done = [h \in Hosts |-> 0]
    /\ Told = [h \in Hosts |-> [a \in Authorities |-> {}]]
    /\ PausedAt = [a \in Authorities |-> [p \in Pauses |-> 0]]

-------------------------------------------------------------------------------
\* The gate

elapsed_ms(h) == now - Started[h]

\* allowance.py: permission of every authority, in time and not paused.
allowance(h) == \A a \in Authorities : LET one == authorities[h][a] IN
    /\ one.permit # NoPermit
    /\ elapsed_ms(h) < one.permit.until_ms
    /\ one.pauses = {}
    /\ one.unseen_pauses = {} \/ Is("IgnoreNamed")

\* What was worked since enrolment and is no gap: the allotted book with the next look.
Worked(h) == Done[h] - book[h].unaccounted_tflop

Ceiling(h) == Lowest({authorities[h][a].permit.ceiling_tflop : a \in Authorities})

Work(h) ==
    /\ h \notin Idle
    /\ allowance(h)
    /\ Worked(h) < Ceiling(h)
    /\ Done' = [Done EXCEPT ![h] = @ + 1]
    /\ UNCHANGED <<now, OfGate, OfGovernor, OfOfficers, Told>>

\* What a look at the counters brings: all work so far is in the allotted book.
Looked(h) == [book[h] EXCEPT !.allotted_tflop = Worked(h), !.covered_until_ms = elapsed_ms(h)]

\* chain.py: a report carries the books of the last look; that may come just before it.
Report(h, samples, headroom_tflop) ==
    LET after == IF samples THEN Looked(h) ELSE book[h] IN
    /\ Len(ledger[h]) < IF h \in Short THEN 1 ELSE MaxReports
    /\ book' = [book EXCEPT ![h] = after]
    /\ ledger' = [ledger EXCEPT ![h] = Append(@,
        [run_nonce |-> run_nonce[h], made_ms |-> elapsed_ms(h),
         interval_end_ms |-> after.covered_until_ms,
         allotted_tflop |-> after.allotted_tflop, unaccounted_tflop |-> after.unaccounted_tflop,
         quotes |-> [a \in Authorities |-> [authorities[h][a].quote EXCEPT
            !.grant = IF Is("NameAfterLook") /\ ~samples THEN 0 ELSE @]],
         headroom_tflop |-> headroom_tflop, At |-> now])]
    /\ UNCHANGED <<now, run_nonce, Started, authorities, OfGovernor, OfOfficers, Done, Told>>

\* answers.py: an answer to this run, and newer than the newest that was taken.
check_answer(h, a, s) ==
    /\ s \in DOMAIN answers[a][h]
    /\ ledger[h][s].run_nonce = run_nonce[h] \/ Is("AnyRun")
    /\ s > authorities[h][a].quote.answer_digest \/ Is("AcceptSuperseded") \/ Is("AddAmounts")

take_answer(h, a, s) ==
    LET answer == answers[a][h][s]
        request == ledger[h][s]
        one == authorities[h][a]
        until_ms == Lifetime + IF Is("ReceiptTime") THEN elapsed_ms(h) ELSE request.made_ms
        granted == answer.ceiling_tflop > 0
        late == granted /\ elapsed_ms(h) >= until_ms
        permit == IF granted /\ ~late
                  THEN [request_digest |-> s, until_ms |-> until_ms,
                        ceiling_tflop |-> IF Is("AddAmounts")
                            THEN Worked(h) + answer.ceiling_tflop - request.allotted_tflop
                            ELSE answer.ceiling_tflop]
                  ELSE NoPermit
        rules == request.headroom_tflop > 0 /\ ~late
    IN
    /\ check_answer(h, a, s)
    /\ authorities' = [authorities EXCEPT ![h][a] = [one EXCEPT
        !.quote = [answer_digest |-> s, grant |-> IF permit # NoPermit THEN s ELSE @.grant],
        !.permit = IF rules THEN permit ELSE @,
        !.pauses = IF Is("ForgetPause") THEN {} ELSE @,
        !.unseen_pauses = answer.pauses \ (one.pauses \union one.lifted)]]
    /\ Told' = [Told EXCEPT ![h][a] = @ \union answer.pauses]
    \* A change of permission comes with a look; NameAfterLook does without, as Report tells.
    /\ book' = IF rules /\ ~Is("LateLook") /\ ~Is("NameAfterLook")
               THEN [book EXCEPT ![h] = Looked(h)] ELSE book
    /\ UNCHANGED <<now, run_nonce, Started, ledger, OfGovernor, OfOfficers, Done>>

\* A new run: permits are gone, orders and quotes are not; what no report shows is charged.
Crash(h) ==
    LET allotted_tflop == IF ledger[h] = <<>> THEN 0 ELSE Last(ledger[h]).allotted_tflop
    IN
    /\ run_nonce[h] < IF h \in Short THEN 1 ELSE MaxRuns
    /\ run_nonce' = [run_nonce EXCEPT ![h] = @ + 1]
    /\ Started' = [Started EXCEPT ![h] = now]
    /\ book' = [book EXCEPT ![h] =
        [allotted_tflop |-> allotted_tflop, covered_until_ms |-> 0,
         unaccounted_tflop |-> Done[h] - allotted_tflop]]
    /\ authorities' = [authorities EXCEPT ![h] = [a \in Authorities |-> [@[a] EXCEPT
        !.permit = NoPermit, !.unseen_pauses = {}]]]
    /\ UNCHANGED <<now, ledger, OfGovernor, OfOfficers, Done, Told>>

take_pause(h, a, p) ==
    /\ p \in orders[a].pauses \union orders[a].lifted
    /\ p \notin authorities[h][a].pauses
    /\ p \notin authorities[h][a].lifted \/ Is("LatchAgain")
    /\ authorities' = [authorities EXCEPT ![h][a] = [@ EXCEPT
        !.pauses = @ \union {p}, !.unseen_pauses = @ \ {p}]]
    /\ Told' = [Told EXCEPT ![h][a] = @ \union {p}]
    /\ UNCHANGED <<now, run_nonce, Started, book, ledger, OfGovernor, OfOfficers, Done>>

\* One officer can sign a resume too: nobody accepts it.
take_resume(h, a, p) ==
    /\ p \in orders[a].lifted \/ (Is("OneOfficerResumes") /\ p \in orders[a].pauses)
    /\ p \notin authorities[h][a].lifted
    /\ authorities' = [authorities EXCEPT ![h][a] = [@ EXCEPT
        !.lifted = @ \union {p}, !.unseen_pauses = @ \ {p},
        !.pauses = IF Is("ResumeLiftsAll") THEN {} ELSE @ \ {p}]]
    /\ UNCHANGED <<now, run_nonce, Started, book, ledger, OfGovernor, OfOfficers, Done, Told>>

-------------------------------------------------------------------------------
\* The governor

\* facts.py
outstanding_tflop(lane) ==
    LET highest == Highest({g.ceiling_tflop : g \in lane.grants})
    IN Less(highest, lane.allotted_tflop)
used_tflop(a, h) == LET lane == facts[a][h] IN
    lane.allotted_tflop + lane.unaccounted_tflop + outstanding_tflop(lane)

\* account.py: a report settles a grant when it (a) names a newer accepted one, (b) is of the
\* same run and measured up to its expiry, (c) is of another run and quotes an answer that was
\* given after its expiry.
over(a, h, g, report) ==
    LET answer_digest == report.quotes[a].answer_digest
        Measured == IF Is("SigningSettles") THEN report.made_ms ELSE report.interval_end_ms
    IN IF g.run_nonce = report.run_nonce
       THEN Measured >= g.made_ms + Lifetime
       ELSE answer_digest > 0 /\
            answers[a][h][answer_digest].governor_unix_ms >= g.governor_unix_ms + Lifetime

settle(a, h, grants, report) ==
    LET grant == report.quotes[a].grant
        accepted == IF \E g \in grants : g.request_digest = grant THEN grant ELSE 0
    IN {g \in grants : g.request_digest >= accepted /\ ~over(a, h, g, report)}

give(grants, grant) == {grant} \union {g \in grants :
    /\ ~Is("GrantReplaces")
    /\ ~(g.run_nonce = grant.run_nonce /\ g.ceiling_tflop <= grant.ceiling_tflop)}

\* decide.py: a ceiling on the allotted total, 0 for a refusal.
decide(a, h, lane, report) ==
    LET Others == IF Is("OwnCapOnly") THEN 0
                  ELSE Sum([o \in Hosts |-> used_tflop(a, o)], Hosts \ {h})
        own == outstanding_tflop(lane)
        left == Less(Cap + own, Others + lane.allotted_tflop + lane.unaccounted_tflop + own)
        Paused == orders[a].pauses # {} /\ ~Is("GrantPaused")
    IN IF Paused \/ left = 0 \/ report.headroom_tflop = 0 THEN 0
       ELSE lane.allotted_tflop + Min(report.headroom_tflop, left)

\* exchange.py: one report, judged, booked and answered in one transaction.
exchange(a, h) ==
    LET sequence == facts[a][h].sequence + 1
        report == ledger[h][sequence]
        lane == [sequence |-> sequence, allotted_tflop |-> report.allotted_tflop,
                 unaccounted_tflop |-> report.unaccounted_tflop,
                 grants |-> settle(a, h, facts[a][h].grants, report)]
        ceiling_tflop == decide(a, h, lane, report)
        grant == [request_digest |-> sequence, run_nonce |-> report.run_nonce,
                  made_ms |-> report.made_ms, ceiling_tflop |-> ceiling_tflop,
                  governor_unix_ms |-> now]
        held == IF ceiling_tflop = 0 THEN lane
                ELSE [lane EXCEPT !.grants = give(@, grant)]
        answer == [ceiling_tflop |-> ceiling_tflop, governor_unix_ms |-> now,
                   pauses |-> IF Is("GrantPaused") THEN {} ELSE orders[a].pauses]
    IN
    /\ sequence <= Len(ledger[h])
    /\ answers' = [answers EXCEPT ![a][h] = Append(SubSeq(@, 1, sequence - 1), answer)]
    /\ \/ facts' = [facts EXCEPT ![a][h] = held]
       \/ Is("AnswerBeforeCommit") /\ UNCHANGED facts  \* crashed in between
    /\ UNCHANGED <<now, OfGate, OfOfficers, Done, Told>>

SilenceReleases(a, h) ==
    /\ Is("SilenceReleases")
    /\ facts' = [facts EXCEPT ![a][h].grants = {g \in @ : now < g.governor_unix_ms + Lifetime}]
    /\ UNCHANGED <<now, OfGate, answers, OfOfficers, Done, Told>>

Pause(a, p) ==
    /\ a \in Strict
    /\ p \notin orders[a].pauses \union orders[a].lifted
    /\ orders' = [orders EXCEPT ![a].pauses = @ \union {p}]
    /\ PausedAt' = [PausedAt EXCEPT ![a][p] = now]
    /\ UNCHANGED <<now, OfGate, OfGovernor, Done, Told>>

\* Signed by the quorum of the authority that made the pause.
Resume(a, p) ==
    /\ p \in orders[a].pauses
    /\ orders' = [orders EXCEPT ![a].pauses = @ \ {p}, ![a].lifted = @ \union {p}]
    /\ PausedAt' = [PausedAt EXCEPT ![a][p] = 0]
    /\ UNCHANGED <<now, OfGate, OfGovernor, Done, Told>>

-------------------------------------------------------------------------------
Tick ==
    /\ now' = now + 1
    /\ UNCHANGED <<OfGate, OfGovernor, OfOfficers, Done, Told>>

Next ==
    \/ Tick
    \/ \E h \in Hosts :
        \/ Work(h) \/ Crash(h)
        \/ \E samples \in IF h \in Idle THEN {FALSE} ELSE BOOLEAN :
            \E headroom_tflop \in Headrooms : Report(h, samples, headroom_tflop)
        \/ \E a \in Authorities :
            \/ exchange(a, h) \/ SilenceReleases(a, h)
            \/ \E s \in DOMAIN answers[a][h] : take_answer(h, a, s)
            \/ \E p \in Pauses : take_pause(h, a, p) \/ take_resume(h, a, p)
    \/ \E a \in Authorities, p \in Pauses : Pause(a, p) \/ Resume(a, p)

Spec == Init /\ [][Next]_Everything

-------------------------------------------------------------------------------
\* Law 1: whoever may work does so on requests of this very run, made less than a lifetime ago.
Expiry == \A h \in Hosts : allowance(h) => \A a \in Authorities :
    LET request == ledger[h][authorities[h][a].permit.request_digest]
    IN request.run_nonce = run_nonce[h] /\ now < request.At + Lifetime

\* Law 2: what was truly done under permission, and what the books say.
CapHolds == Sum(Done, Hosts) <= Cap
Escrow == \A a \in Authorities : Cap >= Sum([h \in Hosts |->
    facts[a][h].allotted_tflop + outstanding_tflop(facts[a][h])], Hosts)

\* Law 6: whoever was told of a pause does not work until its own quorum lifted it,
PauseHolds == \A h \in Hosts : allowance(h) =>
    \A a \in Authorities : Told[h][a] \subseteq orders[a].lifted
\* whoever was not told stops within a lifetime,
PauseExpires == \A h \in Hosts : allowance(h) => \A a \in Authorities :
    \A p \in orders[a].pauses : now < PausedAt[a][p] + Lifetime
\* and what was lifted never latches again.
LiftedForGood == \A h \in Hosts, a \in Authorities :
    authorities[h][a].pauses \cap authorities[h][a].lifted = {}
=============================================================================
