"""Totals that survive a reset, and the figures of the specification."""

from firmware.upload_statistics import UploadStatistics, progress
from harness import eq


def busy():
    totals = UploadStatistics()
    totals.delivered(4000000, 8000)
    totals.delivered(1000000, 1600)
    totals.failed(True)
    totals.failed(True)
    totals.failed(False)
    return totals


def test_nothing_was_uploaded_yet():
    report = UploadStatistics().report()
    eq(set(report.values()), {0})
    eq(report["total_uploads"], 0)


def test_what_is_counted():
    eq(
        busy().report(),
        {
            "total_uploads": 3,
            "successful_uploads": 2,
            "failed_uploads": 1,
            "retries": 2,
            "total_bytes_uploaded": 5000000,
            "total_upload_time_sec": 10,
            "average_speed_kbps": 520,
        },
    )


def test_a_record_brings_the_totals_back():
    record = busy().to_record()
    eq(record, [2, 1, 2, 5000000, 9600])
    after = UploadStatistics()
    after.from_record(record)
    eq(after.report(), busy().report())
    after.delivered(5000000, 400)
    eq(after.to_record(), [3, 1, 2, 10000000, 10000], "and they go on")


def test_years_of_uploads_are_counted_to_the_byte():
    totals = UploadStatistics()
    totals.from_record([10**6, 0, 0, 10**14, 10**11])
    totals.delivered(1, 1)
    eq(totals.to_record(), [10**6 + 1, 0, 0, 10**14 + 1, 10**11 + 1])


def test_records_of_other_firmware_are_taken_as_far_as_they_go():
    for record, expected in (
        ([], [0, 0, 0, 0, 0]),
        ([5], [5, 0, 0, 0, 0]),
        ([5, 1, 2, 3, 4, 99], [5, 1, 2, 3, 4]),
        ([5, -1, "7", None, 4], [5, 0, 0, 0, 4]),
    ):
        totals = busy()
        totals.from_record(record)
        eq(totals.to_record(), expected, record)


def test_the_progress_of_the_specification():
    eq(
        progress(7108608, 15728640, 512000),
        {
            "progress_percentage": 45.1,
            "bytes_uploaded": 7108608,
            "total_bytes": 15728640,
            "upload_speed_kbps": 512,
            "estimated_time_remaining_sec": 16,
        },
    )


def test_progress_at_its_ends():
    for sent, total, rate, percentage, remaining_sec in (
        (0, 1000, 0, 0, 1000),
        (1000, 1000, 500, 100, 0),
        (0, 0, 0, 0, 0),
        (1200, 1000, 500, 100, 0),  # a clip that grew since its size was told
    ):
        found = progress(sent, total, rate)
        eq(found["progress_percentage"], percentage)
        eq(found["estimated_time_remaining_sec"], remaining_sec)
