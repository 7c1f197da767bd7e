------------------------------- MODULE View -------------------------------
\* What still matters of a state of Permission: two states with the same view can do the same
\* from now on, so TLC looks at one of them only. Times become ages, and all that is older than
\* a lifetime is equally old: so time needs no bound. What nobody can use any more is left out.
EXTENDS Permission, TLC

Symmetry == Permutations(Authorities)

Age(t) == Min(now - t, Lifetime)

Ahead(h, a, s) == s > facts[a][h].sequence
Granted(h, a, s) == \E g \in facts[a][h].grants : g.request_digest = s
\* Naming a grant matters while an older one is open.
Named(h, a, s) ==
    IF Granted(h, a, s) /\ \E g \in facts[a][h].grants : g.request_digest < s THEN s ELSE 0

\* Grants, given or still to be given on reports before it, that a report shows to be over.
Ends(h, a, s) == LET report == ledger[h][s] IN
    {g.request_digest : g \in {g \in facts[a][h].grants : over(a, h, g, report)}}
    \union {t \in (facts[a][h].sequence + 1)..(s - 1) :
        /\ ledger[h][t].run_nonce = report.run_nonce
        /\ report.interval_end_ms >= ledger[h][t].made_ms + Lifetime}

Reported(h, s) ==
    LET report == ledger[h][s]
        Waits == {a \in Authorities : Ahead(h, a, s)}
        Used == Waits \union {a \in Authorities : check_answer(h, a, s)}
        Current == report.run_nonce = run_nonce[h]
        Open == Used # {} \/ \E a \in Authorities : Granted(h, a, s)
    IN <<IF Used # {} THEN <<report.run_nonce, report.headroom_tflop>> ELSE <<>>,
         IF Waits # {} THEN <<report.allotted_tflop, report.unaccounted_tflop>> ELSE <<>>,
         [a \in Waits |-> <<Ends(h, a, s), Named(h, a, report.quotes[a].grant)>>],
         \* Only the run that made the request takes its answer, or measures up to its expiry.
         IF Current /\ Open
         THEN <<Age(report.At), book[h].covered_until_ms >= report.made_ms + Lifetime>>
         ELSE <<>>>>

\* The governor's time counts for grants of another run only.
Crosses(h, g) == g.run_nonce # run_nonce[h] \/ (h \notin Short /\ g.run_nonce < MaxRuns)
After(h, a, s) == {g.request_digest : g \in {g \in facts[a][h].grants :
    Crosses(h, g) /\ answers[a][h][s].governor_unix_ms >= g.governor_unix_ms + Lifetime}}

Answer(h, a, s) == IF check_answer(h, a, s)
    THEN <<answers[a][h][s].ceiling_tflop, answers[a][h][s].pauses, After(h, a, s)>> ELSE <<>>

Grant(h, a, g) == <<g.request_digest, g.run_nonce, g.ceiling_tflop,
    IF Crosses(h, g) THEN Age(g.governor_unix_ms) ELSE 0>>

OneAuthority(h, a) == LET one == authorities[h][a] IN <<
    one.quote.answer_digest,
    IF one.quote.answer_digest > 0 THEN After(h, a, one.quote.answer_digest) ELSE {},
    Named(h, a, one.quote.grant),
    IF one.permit # NoPermit /\ elapsed_ms(h) < one.permit.until_ms
    THEN <<one.permit.until_ms - elapsed_ms(h), one.permit.ceiling_tflop>> ELSE <<>>,
    one.pauses, one.lifted, one.unseen_pauses, Told[h][a] \ orders[a].lifted,
    facts[a][h].sequence, facts[a][h].allotted_tflop, facts[a][h].unaccounted_tflop,
    {Grant(h, a, g) : g \in facts[a][h].grants},
    [s \in DOMAIN answers[a][h] |-> Answer(h, a, s)]>>

View == <<
    [h \in Hosts |-> <<
        run_nonce[h], Done[h], book[h].allotted_tflop, book[h].unaccounted_tflop,
        [s \in DOMAIN ledger[h] |-> Reported(h, s)],
        [a \in Authorities |-> OneAuthority(h, a)]>>],
    [a \in Authorities |-> <<orders[a], [p \in orders[a].pauses |-> Age(PausedAt[a][p])]>>]>>

\* To see that no view is lost (check.py --deep): print each, with and without VIEW.
Listed == PrintT(ToString(View))
Soon == now <= 2
=============================================================================
