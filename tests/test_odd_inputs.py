"""A table of bad and odd inputs. Each of its 71 rows has a test, or a reason why it has none.

A test with the number of a row in its name or id (``test_row14_...``, ``id="row43-south-up"``, ``Refused(22, ...)``)
tests that row. `NAMED` lists tests without a number; `WITHOUT` gives the reasons for rows without a test.
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

INPUTS: dict[int, str] = {
    1: "no CRS and no transform",
    2: "rotated or sheared transform",
    3: "ground control points or RPCs instead of a transform",
    4: "no nodata value: all pixels are valid",
    5: "nodata NaN",
    6: "nodata that differs between bands, or in some bands only",
    7: "nodata outside the range of the data type",
    8: "alpha band, declared or not",
    9: "mask inside the file or in a .msk file beside it",
    10: ".msk file lost in transfer, while other scenes have one",
    11: "bands of one bit",
    12: "int8, int16, uint16 and float64; integers that float32 cannot hold",
    13: "complex numbers",
    14: "palette",
    15: "BigTIFF, and outputs above 4 GiB",
    16: "sparse file: internal tiles that are not stored",
    17: "damaged tile index that looks like a sparse file",
    18: "layout in strips, one giant strip, very wide rows",
    19: "raster smaller than a patch, down to 1 x 1",
    20: "size that is no multiple of the stride",
    21: "no valid pixel",
    22: "empty file, HTML named .tif, directory, missing file",
    23: "truncated file, internal tile that cannot be decoded",
    24: "damaged bits that still decode",
    25: "VRT with a missing source",
    26: "VRT with holes and without nodata",
    27: "VRT with Python functions, warping, remote, nested or recursive sources",
    28: "other number of bands than the model takes",
    29: "other names of bands than the model's",
    30: "other pixel size than the model's",
    31: "NaN or infinite pixels that are not declared nodata",
    32: "constant, saturated or wrongly scaled bands",
    33: "scale and offset tags",
    34: "logits that are NaN or infinite",
    35: "model with another number of classes than its list",
    36: "model with a smaller output, several outputs or one channel",
    37: "model that takes only multiples of 32 pixels",
    38: "more classes than a class map can hold",
    39: "scene across the antimeridian, longitudes 0 to 360",
    40: "polar projections",
    41: "geographic CRS: areas in square metres",
    42: "CRS in feet, Web Mercator",
    43: "south-up raster",
    44: "pixels that are points (AREA_OR_POINT)",
    45: "vertical, compound or engineering CRS, missing PROJ grid",
    46: "overviews older than the raster",
    47: ".aux.xml or .tfw file that contradicts the raster",
    48: "file with several rasters, or with overviews only",
    49: "two scenes with one name, also where case is ignored",
    50: "one scene given twice, also through a link",
    51: "odd file names: Unicode, spaces, %, #, newline, very long",
    52: "output inside the input folder, or equal to an input",
    53: "output without write access, missing bucket, expired credentials",
    54: "full disk",
    55: "two runs with one output",
    56: "unfinished work of other settings",
    57: "output that is complete already",
    58: "input replaced during the run",
    59: "node that does not see the files",
    60: "node with other software",
    61: "scene that is mostly nodata",
    62: "200,000 x 200,000 pixels: counts and ids above 32 bits",
    63: "class map that is noise: too many polygons",
    64: "polygons across blocks, holes, corners that touch",
    65: "invalid rings and areas of zero",
    66: "batch that does not fit into GPU memory",
    67: "GPU that fails permanently",
    68: "read or forward pass that hangs",
    69: "SIGTERM or SIGINT during a run",
    70: "dataset opened before a fork or shared between threads",
    71: "archives and URLs in file names",
}
"""What each row is about."""

TESTS = Path(__file__).parent
NUMBER = re.compile(r'def test_rows?_?(\d+)(?:_and_(\d+))?|id="row(\d+)|(?:Refused|Handled)\((\d+),')

NAMED: dict[int, tuple[str, ...]] = {
    10: ("run/test_odd_runs.py::test_rows_10_18_31_and_32_are_in_the_report",),
    15: ("raster/maps/test_cog.py::test_round_trip",),
    16: ("run/test_segment.py::test_patches_run_are_the_lattices_patches_with_a_valid_pixel",),
    19: ("run/test_segment.py::test_scenes_of_any_size",),
    20: (
        "run/test_segment.py::test_scenes_of_any_size",
        "model/test_predictor.py::test_blocks_give_the_bytes_of_a_single_block",
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
    38: ("grid/test_legend.py::test_an_invalid_legend_is_refused",),
    40: ("publish/geodesy/test_pixel_area.py::test_pixels_around_the_pole",),
    41: (
        "publish/geodesy/test_pixel_area.py::test_a_cell_of_a_geographic_crs",
        "publish/geodesy/test_pixel_area.py::test_the_whole_earth",
        "publish/test_geoparquet.py::test_the_metadata_describe_the_file_and_nothing_else",
    ),
    42: (
        "publish/geodesy/test_pixel_area.py::test_row42_areas_in_a_projection_that_stretches_them_are_geodesic",
        "publish/geodesy/test_pixel_area.py::test_row42_feet_become_metres",
    ),
    44: ("run/test_segment.py::test_rasters_have_the_georeference_and_pixel_interpretation_of_the_scene",),
    45: (
        "publish/geodesy/test_pixel_area.py::test_areas_are_planar_where_the_scale_is_one",
        "publish/geodesy/test_measure.py::test_a_crs_without_a_place_is_refused",
        "raster/source/test_env.py::test_options_are_set_inside_gdal_env_only",
    ),
    49: ("run/test_segment.py::test_two_scenes_of_one_name_are_refused_before_any_work",),
    50: ("test_cli.py::test_a_scene_given_twice_is_named_and_done_once",),
    51: ("raster/source/test_scene.py::test_any_text_becomes_one_file_name",),
    53: ("test_cli.py::test_an_output_that_cannot_be_written_is_named",),
    54: (
        "store/test_full_disk.py::test_full_while_blocks_are_kept",
        "store/test_full_disk.py::test_full_while_publishing_or_sealing",
        "store/test_full_disk.py::test_full_while_committing",
    ),
    55: ("engine/test_two_runs.py::test_the_second_is_refused_and_the_first_is_not_disturbed",),
    56: ("plan/test_resume.py::test_other_settings_are_refused_and_listed",),
    57: ("plan/test_resume.py::test_a_finished_scene_is_up_to_date",),
    58: ("plan/test_resume.py::test_an_input_replaced_during_the_run_is_refused_at_the_end",),
    59: (
        "engine/ray_cluster/test_nodes.py::test_every_node_that_lacks_something_is_named_with_what_it_lacks",
        "engine/ray_cluster/test_nodes.py::test_a_node_describes_its_software_and_files",
    ),
    60: ("engine/ray_cluster/test_ray_executor.py::test_a_node_with_other_software_is_named",),
    61: ("run/test_segment.py::test_patches_run_are_the_lattices_patches_with_a_valid_pixel",),
    64: (
        "vector/test_polygonize.py::test_hard_maps_give_the_polygons_of_gdal_for_any_blocks",
        "vector/test_polygonize.py::test_any_map_with_any_blocks_and_bound",
        "run/test_polygons.py::test_unsimplified_polygons_and_their_attributes_equal_gdals",
    ),
    65: (
        "vector/test_polygonize.py::test_hard_maps_stay_a_coverage_when_simplified",
        "run/test_polygons.py::test_polygons_are_a_valid_coverage_of_the_valid_pixels",
        "run/test_segment.py::test_results_are_certified",
    ),
    67: (
        "engine/ray_cluster/test_worker_pool.py::test_a_gpu_that_fails_repeatedly_is_excluded_alone",
        "engine/ray_cluster/test_worker_pool.py::test_a_gpu_that_is_parked_leaves_the_others_of_its_node_in_use",
    ),
    68: ("engine/test_fault_matrix.py::test_a_sample_on_ray", "engine/test_fault_matrix.py::test_a_sample_inline"),
    69: (
        "run/test_stopping.py::test_a_signal_stops_a_run_and_the_same_command_resumes_it",
        "run/test_stopping.py::test_a_scene_that_is_being_published_is_finished_first",
    ),
    71: (
        "raster/source/test_address.py::test_other_names_of_gdal_are_refused",
        "raster/source/test_address.py::test_hosts_that_are_not_public_need_a_second_permission",
    ),
}
"""Tests of a row that do not have its number in their name."""

WITHOUT: dict[int, str] = {
    24: "A changed bit that still decodes is a valid pixel; only a checksum of the file's author could show it.",
}
"""Why a row has no test."""


def numbered_tests() -> dict[int, set[str]]:
    """Files with tests that have the number of a row in their name or id, by row."""
    files: dict[int, set[str]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        if path != Path(__file__):
            for line in path.read_text().splitlines():
                for numbers in NUMBER.findall(line):
                    for number in filter(None, numbers):
                        files[int(number)].add(str(path.relative_to(TESTS)))
    return files


def test_every_row_has_a_test_or_a_reason() -> None:
    assert list(INPUTS) == list(range(1, 72))
    tested = {*numbered_tests(), *NAMED}
    assert {row: text for row, text in INPUTS.items() if row not in tested and row not in WITHOUT} == {}
    assert sorted(tested - {*INPUTS}) == [], "no such row"


def test_a_row_has_either_a_test_or_a_reason() -> None:
    assert sorted({*numbered_tests(), *NAMED} & {*WITHOUT}) == []


def test_the_named_tests_exist() -> None:
    for test in {test for tests in NAMED.values() for test in tests}:
        file, _, name = test.partition("::")
        defined = {
            node.name for node in ast.walk(ast.parse((TESTS / file).read_text())) if isinstance(node, ast.FunctionDef)
        }
        assert name in defined, test


def test_numbers_in_names_and_ids_are_found() -> None:
    lines = ["def test_row14_a_palette", 'id="row43-south-up"', "Refused(22, lambda", "def test_rows_11_and_14_are"]
    assert [[n for n in numbers if n] for line in lines for numbers in NUMBER.findall(line)] == [
        ["14"], ["43"], ["22"], ["11", "14"],
    ]  # fmt: skip
