"""The table of bad and odd inputs is whole: each of its 71 rows has a test, or a reason why it has none.

A test that bears the number of a row (``test_row14_...``, ``id="row43-south-up"``, ``Refused(22, ...)``) holds that
row. The others are named in `NAMED`; `WITHOUT` gives the reasons.
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROWS = range(1, 72)
TESTS = Path(__file__).parent
NUMBER = re.compile(r'def test_rows?_?(\d+)(?:_and_(\d+))?|id="row(\d+)|(?:Refused|Handled)\((\d+),')

NAMED: dict[int, tuple[str, ...]] = {
    10: ("run/test_odd_runs.py::test_rows_10_18_31_and_32_are_told_in_the_report",),
    15: ("raster/test_cog.py::test_round_trip",),
    16: ("run/test_segment.py::test_patches_run_are_the_lattices_patches_with_a_valid_pixel",),
    19: ("run/test_segment.py::test_scenes_of_any_size",),
    20: (
        "run/test_segment.py::test_scenes_of_any_size",
        "model/test_predictor.py::test_blocks_give_the_whole",
        "run/test_same_bytes.py::test_block_sizes",
    ),
    21: (
        "run/test_segment.py::test_a_scene_without_valid_pixels_runs_no_patch_and_publishes_empty_results",
        "publish/test_geoparquet.py::test_a_scene_of_nodata_gives_one_valid_part_without_rows",
    ),
    28: (
        "test_cli.py::test_a_bad_scene_fails_alone",
        "raster/test_bands.py::test_too_few_bands",
        "raster/test_bands.py::test_too_many_bands_are_never_guessed",
    ),
    34: (
        "model/test_predictor.py::test_scaled_pixels_that_are_not_finite_stop_the_scene",
        "run/test_segment.py::test_not_finite_logits_fail_the_scene_with_the_place",
        "test_cli.py::test_nan_logits_name_file_and_patch",
    ),
    35: ("model/test_predictor.py::test_a_model_with_other_classes_than_its_list_is_refused_before_any_work",),
    36: (
        "model/test_predictor.py::test_a_smaller_map_is_upsampled",
        "model/test_predictor.py::test_one_channel_is_the_probability_of_the_second_class",
    ),
    37: (
        "test_cli.py::test_bad_settings_stop_before_any_work",
        "model/test_predictor.py::test_a_model_that_cannot_take_the_patch_is_refused_before_any_work",
    ),
    38: ("grid/test_legend.py::test_a_legend_that_a_class_map_cannot_hold_is_refused",),
    40: ("publish/geodesy/test_pixel_area.py::test_pixels_around_the_pole",),
    41: (
        "publish/geodesy/test_pixel_area.py::test_a_cell_of_a_geographic_crs",
        "publish/geodesy/test_pixel_area.py::test_the_whole_earth",
        "publish/test_geoparquet.py::test_the_metadata_say_what_the_file_holds_and_nothing_else",
    ),
    42: (
        "publish/geodesy/test_pixel_area.py::test_row42_metres_of_a_projection_that_stretches_areas_are_not_believed",
        "publish/geodesy/test_pixel_area.py::test_row42_feet_become_metres",
    ),
    44: ("run/test_segment.py::test_rasters_lie_where_the_scene_lies_and_say_what_its_samples_stand_for",),
    45: (
        "publish/geodesy/test_pixel_area.py::test_where_the_scale_is_right_areas_are_those_of_the_plane",
        "publish/geodesy/test_measure.py::test_a_crs_without_a_place_is_refused",
        "raster/source/test_env.py::test_options_hold_inside_and_end_outside",
    ),
    49: ("run/test_segment.py::test_two_scenes_of_one_name_are_refused_before_any_work",),
    50: ("test_cli.py::test_a_scene_given_twice_is_named_and_done_once",),
    51: ("raster/source/test_scene.py::test_any_text_becomes_one_file_name",),
    53: ("test_cli.py::test_an_output_that_cannot_be_written_is_named",),
    54: (
        "store/test_full_disk.py::test_full_while_blocks_are_kept",
        "store/test_full_disk.py::test_full_while_publishing",
        "store/test_full_disk.py::test_full_while_committing",
    ),
    55: ("engine/test_two_runs.py::test_the_second_is_refused_and_the_first_is_not_disturbed",),
    56: ("plan/test_resume.py::test_other_settings_are_refused_and_listed",),
    57: ("plan/test_resume.py::test_a_finished_scene_is_up_to_date",),
    58: ("plan/test_resume.py::test_an_input_replaced_during_the_run_is_refused_at_the_end",),
    59: (
        "engine/ray_cluster/test_nodes.py::test_every_node_that_lacks_something_is_named_with_what_it_lacks",
        "engine/ray_cluster/test_nodes.py::test_a_node_introduces_itself",
    ),
    60: ("engine/ray_cluster/test_ray_executor.py::test_a_node_with_other_software_is_named",),
    61: ("run/test_segment.py::test_patches_run_are_the_lattices_patches_with_a_valid_pixel",),
    64: (
        "vector/test_polygonize.py::test_hard_maps_give_the_polygons_of_gdal_for_any_blocks",
        "vector/test_polygonize.py::test_any_map_with_any_blocks_and_tolerance",
        "run/test_polygons.py::test_unsimplified_polygons_and_their_attributes_are_gdals",
    ),
    65: (
        "vector/test_polygonize.py::test_hard_maps_stay_a_coverage_when_simplified",
        "run/test_polygons.py::test_polygons_are_a_valid_coverage_of_the_valid_pixels",
        "run/test_segment.py::test_results_are_certified",
    ),
    67: (
        "engine/ray_cluster/test_worker_pool.py::test_a_gpu_that_fails_is_bad_and_its_neighbour_is_not",
        "engine/ray_cluster/test_worker_pool.py::test_a_gpu_that_is_parked_leaves_the_others_of_its_node_in_use",
    ),
    68: ("engine/test_fault_matrix.py::test_a_sample_on_ray", "engine/test_fault_matrix.py::test_a_sample_inline"),
    69: (
        "run/test_stopping.py::test_a_signal_in_mid_run_stops_it_and_the_same_command_goes_on",
        "run/test_stopping.py::test_what_is_being_published_is_published_first",
    ),
    71: (
        "raster/source/test_address.py::test_other_names_of_gdal_are_refused",
        "raster/source/test_address.py::test_hosts_that_are_not_public_need_a_second_permission",
    ),
}
"""Tests that hold a row without bearing its number."""

WITHOUT: dict[int, str] = {
    24: "A flipped bit that still decodes is a valid pixel; only a checksum from where the file was made could tell.",
}
"""Why a row has no test that bears its number or is named above."""


def numbered() -> dict[int, set[str]]:
    """The tests that bear the number of a row, by row."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        if path != Path(__file__):
            for line in path.read_text().splitlines():
                for numbers in NUMBER.findall(line):
                    for number in filter(None, numbers):
                        found[int(number)].add(str(path.relative_to(TESTS)))
    return found


def test_every_row_has_a_test_or_a_reason() -> None:
    held = {*numbered(), *NAMED}
    assert sorted({*ROWS} - held - {*WITHOUT}) == []
    assert sorted(held - {*ROWS}) == [], "no such row"


def test_no_row_with_a_test_is_excused() -> None:
    assert sorted({*numbered(), *NAMED} & {*WITHOUT}) == []


def test_the_named_tests_exist() -> None:
    for test in {test for tests in NAMED.values() for test in tests}:
        file, _, name = test.partition("::")
        defined = {
            node.name for node in ast.walk(ast.parse((TESTS / file).read_text())) if isinstance(node, ast.FunctionDef)
        }
        assert name in defined, test


def test_numbers_are_found_where_they_stand() -> None:
    lines = ["def test_row14_a_palette", 'id="row43-south-up"', "Refused(22, lambda", "def test_rows_11_and_14_are"]
    assert [[n for n in found if n] for line in lines for found in NUMBER.findall(line)] == [
        ["14"], ["43"], ["22"], ["11", "14"],
    ]  # fmt: skip
