"""What real exports contain: every known pitfall, and the tests that pin it.

The tests themselves stand in the files named here; each runs on a whole small export, on
made headers or on real exams. The last test of this file keeps the map true.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

PITFALLS: Final[dict[str, tuple[str, ...]]] = {
    "a short-axis stack is N series of one slice": (
        "test_stack.py::test_one_slice_series_at_neighbouring_places_are_one_stack",
        "test_pitfalls_of_places.py::test_slices_of_a_cine_whose_tr_follows_the_heart_rate_are_one_stack",
        "test_pitfalls_of_places.py::test_pixel_spacings_that_differ_by_their_rounding_are_one_grid",
        "test_real_exams.py::test_six_one_slice_series_of_a_cardiac_exam_are_one_short_axis_stack",
    ),
    "several orientations in one series": (
        "test_stack.py::test_several_orientations_in_one_series_are_a_localizer_split_by_normal",
        "test_real_exams.py::test_scout_and_short_axis_are_told_apart_and_frames_seen_through_with_a_reason",
    ),
    "a frame of reference for every file, or none": (
        "test_stack.py::test_a_frame_of_reference_for_every_file_is_seen_through_with_a_reason",
        "test_stack.py::test_missing_frames_join_across_series_unless_frames_are_strict",
        "test_index.py::test_lines_of_assumed_frames_are_marked_and_left_out_when_frames_are_strict",
        "test_pitfalls_of_places.py::test_a_one_file_series_among_series_with_a_frame_for_every_file_is_seen_through_too",
        "test_pitfalls_of_places.py::test_images_of_two_days_without_a_frame_of_reference_never_cut_each_other",
        "test_pitfalls_of_places.py::test_planes_of_an_assumed_frame_that_do_not_meet_inside_both_images_make_no_line",
    ),
    "a frame of reference that changes inside a study": (
        "test_stack.py::test_planes_in_different_frames_of_reference_never_join",
        "test_pitfalls_of_places.py::test_no_line_leads_across_a_change_of_the_frame_of_reference",
    ),
    "series description wrong or empty": (
        "test_views.py::test_wrong_descriptions_are_outvoted_by_planes_that_lie_elsewhere",
        "test_views.py::test_five_long_axis_views_and_a_stack_are_told_apart_without_any_word",
        "test_real_exams.py::test_without_any_description_the_main_views_are_still_right",
        "test_real_exams.py::test_the_views_of_a_cardiac_exam_are_right_although_two_descriptions_are_wrong",
    ),
    "repeated acquisition at the same place": (
        "test_stack.py::test_a_repeat_at_the_same_planes_is_kept_and_superseded_by_the_later_one",
        "test_stack.py::test_a_later_repeat_that_was_broken_off_does_not_supersede_a_complete_one",
    ),
    "binary copies and conflicts": (
        "test_index.py::test_binary_copies_are_used_once_and_conflicts_are_said",
        "test_pitfalls_of_places.py::test_images_of_other_places_that_share_one_uid_are_all_used_and_it_is_said",
    ),
    "missing slices, wrong spacing attributes": (
        "test_stack.py::test_a_missing_slice_makes_a_stack_irregular_and_shear_is_measured",
        "test_pitfalls_of_places.py::test_only_positions_along_the_normal_count_whatever_the_spacing_attributes_say",
        "test_pitfalls_of_places.py::test_a_missing_slice_is_recorded_as_a_gap",
    ),
    "instance numbers, slice locations, file order": (
        "test_stack.py::test_file_order_and_pose_do_not_matter",
        "test_pitfalls_of_places.py::test_instance_number_slice_location_and_file_order_are_never_a_key",
    ),
    "phases": (
        "test_stack.py::test_phases_are_ordered_by_trigger_time_whatever_the_instance_numbers_say",
        "test_stack.py::test_phases_that_nothing_tells_apart_keep_no_order",
        "test_pitfalls_of_places.py::test_phases_are_ordered_by_the_first_evidence_that_tells_them_apart",
        "test_pitfalls_of_places.py::test_counts_of_phases_that_differ_between_slices_are_said",
        "test_cine.py::test_moments_of_slices_with_other_beats_are_compared_as_a_fraction_of_their_r_r",
        "test_cine.py::test_no_order_is_invented_where_nothing_tells_the_phases_apart",
    ),
    "pixel spacing order, non-square pixels, non-square matrix": (
        "test_header.py::test_the_plane_of_a_classic_image_is_read_with_spacings_in_their_places",
        "test_against_highdicom.py::test_planes_of_random_images_equal_those_of_highdicom",
    ),
    "rounded or broken direction cosines": (
        "test_pitfalls_of_places.py::test_rounded_cosines_are_mended_and_their_residual_is_kept",
        "test_pitfalls_of_places.py::test_cosines_that_no_rounding_explains_are_refused",
    ),
    "gantry tilt, sheared stacks": (
        "test_stack.py::test_a_missing_slice_makes_a_stack_irregular_and_shear_is_measured",
        "test_pitfalls_of_places.py::test_lines_of_a_sheared_stack_are_right_since_each_plane_is_its_own",
    ),
    "enhanced multi-frame": (
        "test_header.py::test_frames_of_an_enhanced_image_are_placed_by_their_own_functional_groups",
        "test_pitfalls_of_kinds.py::test_enhanced_frames_in_any_order_and_orientation_are_sorted_by_their_groups",
        "test_pitfalls_of_kinds.py::test_an_enhanced_frame_takes_its_place_from_standard_groups_alone",
        "test_pitfalls_of_kinds.py::test_empty_groups_in_a_classic_image_mean_nothing",
        "test_real_exams.py::test_planes_of_enhanced_files_equal_the_reference_affine",
        "test_real_exams.py::test_pixels_of_enhanced_frames_are_those_of_the_reference_at_their_place_and_time",
        "test_against_highdicom.py::test_frames_of_enhanced_files_equal_those_of_highdicom",
    ),
    "Siemens mosaic, UIH grid": (
        "test_tiles.py::test_tiles_of_a_mosaic_lie_where_its_slices_were_measured",
        "test_tiles.py::test_tiles_of_a_real_mosaic_equal_the_reference_affine_and_its_pixels",
        "test_tiles.py::test_a_mosaic_that_does_not_prove_where_its_tiles_lie_is_refused",
        "test_tiles.py::test_tiles_of_a_grid_lie_where_its_private_items_say",
        "test_tiles.py::test_a_grid_that_does_not_prove_where_its_tiles_lie_is_refused",
        "test_tiles.py::test_tiles_of_a_real_grid_lie_in_the_series_own_slice_locations",
        "test_pitfalls_of_kinds.py::test_tiles_become_a_stack_of_the_catalogue_or_a_skipped_file_with_that_reason",
    ),
    "ImageType DERIVED on originals": (
        "test_header.py::test_derived_alone_proves_nothing_but_a_projection_is_derived",
        "test_real_exams.py::test_a_knee_exam_has_two_sagittal_contrasts_and_its_localizers",
    ),
    "many contrasts on the planes of the cine": (
        "test_stack.py::test_two_contrasts_at_the_same_places_are_two_stacks",
        "test_stack.py::test_beats_that_follow_each_other_are_no_cine",
        "../pretext_targets/test_choose.py::test_only_admitted_kinds_become_partners",
        "../pretext_targets/test_choose.py::test_the_knee_prefers_fat_suppression_within_a_study",
        "test_pitfalls_of_kinds.py::test_contrasts_on_the_planes_of_the_cine_are_told_apart_by_kind_and_contrast_key",
        "test_pitfalls_of_kinds.py::test_phase_images_over_a_heartbeat_show_flow_and_so_do_their_magnitudes",
        "test_pitfalls_of_kinds.py::test_components_of_one_flow_measurement_are_stacks_of_their_own",
        "test_pitfalls_of_kinds.py::test_makers_name_the_components_of_an_image_each_in_their_way",
    ),
    "pixel spacing far into the file": (
        "test_pitfalls_of_places.py::test_pixel_spacing_behind_a_large_private_header_is_found",
        "test_real_exams.py::test_six_one_slice_series_of_a_cardiac_exam_are_one_short_axis_stack",
    ),
    "what is no original image": (
        "test_pitfalls_of_kinds.py::test_objects_that_are_no_measured_image_are_skipped_by_a_word",
        "test_pitfalls_of_kinds.py::test_only_original_images_stand_in_stacks_and_localizers_cut_nothing",
    ),
    "stored pixels": (
        "test_pixels.py::test_monochrome1_is_turned_round_alike_in_all_images_of_a_stack",
        "test_pixels.py::test_signed_pixels_keep_their_sign",
        "test_pixels.py::test_bits_above_bits_stored_are_not_part_of_the_image",
        "test_pixels.py::test_colour_is_refused_by_name",
        "test_pitfalls_of_files.py::test_each_frame_is_rescaled_by_its_own_slope",
        "test_pitfalls_of_files.py::test_colour_is_no_image_of_the_catalogue",
    ),
    "transfer syntaxes": (
        "test_pitfalls_of_files.py::test_one_image_decodes_alike_in_the_transfer_syntaxes_that_pydicom_ships",
        "test_pitfalls_of_files.py::test_an_image_rewritten_in_another_transfer_syntax_has_the_same_place_and_pixels",
        "test_pitfalls_of_files.py::test_lossy_jpeg_is_decoded_within_its_loss",
        "test_pitfalls_of_files.py::test_pixel_data_in_fragments_is_put_together",
        "test_pitfalls_of_files.py::test_a_compression_that_no_free_decoder_knows_is_refused_by_its_name",
        "test_pitfalls_of_files.py::test_an_absent_decoder_names_the_packages_to_install",
        "test_real_exams.py::test_one_image_in_nine_transfer_syntaxes_decodes_to_equal_pixels",
    ),
    "files that are broken or no files": (
        "test_scan.py::test_a_file_without_preamble_and_meta_is_read",
        "test_scan.py::test_a_truncated_file_is_unreadable_wherever_it_ends",
        "test_scan.py::test_the_scan_goes_on_after_garbage",
        "test_scan.py::test_members_of_archives_are_read_in_place",
        "test_scan.py::test_a_broken_archive_is_one_unreadable_file",
        "test_scan.py::test_a_symlink_loop_is_survived",
        "test_scan.py::test_an_empty_file_is_unreadable",
        "test_scan.py::test_a_text_file_named_dcm_is_skipped",
        "test_scan.py::test_every_test_file_that_pydicom_ships_is_accounted_for",
        "test_real_exams.py::test_every_real_dicom_file_gives_images_and_all_others_say_what_they_are",
        "test_pitfalls_of_files.py::test_a_dicomdir_with_dead_and_climbing_references_is_only_a_hint",
        "test_pitfalls_of_files.py::test_a_wrong_length_is_counted_and_the_scan_goes_on",
    ),
    "odd text and numbers": (
        "test_header.py::test_numbers_with_commas_and_blanks_are_read",
        "test_pitfalls_of_files.py::test_odd_numbers_are_read_or_absent_and_never_stop_the_index",
        "test_pitfalls_of_files.py::test_a_place_that_makes_no_sense_is_refused",
        "test_attributes.py::test_no_bytes_under_any_character_set_stop_the_reading",
        "test_pitfalls_of_files.py::test_text_is_read_in_its_character_set_and_odd_sets_stop_nothing",
    ),
    "one study in several folders, several studies in one visit": (
        "test_pitfalls_of_places.py::test_one_study_over_several_folders_and_archives_is_one",
        "test_pitfalls_of_places.py::test_volumes_with_studies_of_their_own_are_one_examination_with_a_warning",
        "test_pitfalls_of_places.py::test_studies_of_two_days_or_patients_stay_apart_whatever_frame_they_state",
    ),
    "a knee stack that tilts from disc to disc": (
        "test_stack.py::test_a_stack_that_tilts_from_disc_to_disc_is_several_stacks_and_no_localizer",
    ),
}


def test_every_pitfall_names_tests_that_exist() -> None:
    folder = Path(__file__).parent
    for pitfall, named in PITFALLS.items():
        assert named, pitfall
        for one in named:
            file, test = one.split("::")
            assert re.search(rf"^def {test}\(", (folder / file).read_text(), re.MULTILINE), (
                f"{pitfall}: {one}"
            )
