"""The contract of every kind of remote, kept by SFTP alone: the same tests, but for hooks.

What a remote with a shell may leave waiting in a series is done at once here, so the tests of what
waits are left out.
"""

from __future__ import annotations

from tests.remote import test_contract, test_contract_patch, test_contract_steps

small, odd = test_contract.small, test_contract.odd

KEPT = {
    test_contract: (
        "a_connection_that_was_closed_is_made_again_for_a_question",
        "a_directory_without_a_record_is_neither_begun_in_nor_discarded",
        "a_full_disk_fails_the_step_and_room_mends_it",
        "a_link_in_releases_is_never_published",
        "a_path_that_leads_to_no_directory_is_told",
        "a_step_that_fails_says_so_changes_nothing_and_leaves_the_shell_usable",
        "any_legal_name_passes_through_every_method",
        "dropping_links_into_shared_leaves_shared_alone",
        "hashing_what_is_no_file_fails",
        "publishing_over_what_is_no_release_link_is_refused",
        "shared_is_seeded_once",
        "the_lock_is_one_mans_its_token_grows_and_it_names_its_holder",
        "twenty_megabytes_arrive_as_they_were_sent",
        "what_is_made_can_be_read_by_a_web_server",
        "writing_over_hard_links_leaves_the_live_release_alone",
    ),
    test_contract_patch: (
        "compressed_it_is_the_same",
        "half_a_file_is_none",
        "it_is_what_the_steps_say",
        "whatever_its_name",
    ),
    test_contract_steps: (
        "a_base_that_is_not_what_it_was_taken_for_is_status_90",
        "a_failing_step_is_known_at_once_outside_a_series",
        "a_lock_that_was_not_given_back_since_a_step_failed_is_still_ours",
        "a_manifest_is_made_of_another_by_its_differences",
        "a_release_that_looks_as_it_should_is_not_listed",
        "a_step_that_fails_before_a_question_is_what_the_question_raises",
        "a_step_that_fails_stops_all_after_it_and_only_what_was_done_is_told",
        "content_is_verified_whatever_the_names",
        "what_is_verified_as_it_comes_is_there_as_it_was_sent",
        "what_comes_otherwise_than_planned_fails_the_step",
        "a_stream_that_ends_too_soon_fails_and_leaves_nothing_behind",
        "the_lock_is_given_back_as_the_last_step_and_taken_again",
    ),
}
for module, names in KEPT.items():
    globals().update({f"test_{name}": getattr(module, f"test_{name}") for name in names})
