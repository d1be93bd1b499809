"""What the dashboards show. $job and $instance select processes; every rate has the window that Grafana derives from the scrape interval."""
from grafana import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, YELLOW, Dashboard, Panel, Query, Row

SELECT = 'job=~"$job",instance=~"$instance"'


def sel(metric, labels=""):
    return f"{metric}{{{SELECT}{',' + labels if labels else ''}}}"


def rate(metric, labels=""):
    return f"rate({sel(metric, labels)}[$__rate_interval])"


def quantile(q, histogram, by=""):
    return f"histogram_quantile({q}, sum by (le{', ' + by if by else ''}) ({rate(histogram + '_bucket')}))"


def quantiles(histogram):
    return [Query(quantile(q, histogram), f"p{round(q * 100)}", color=color) for q, color in ((0.5, GREEN), (0.9, YELLOW), (0.99, RED))]


def mean(histogram):
    return f"sum({rate(histogram + '_sum')}) / sum({rate(histogram + '_count')})"


DEVICE = "{{instance}} {{device}}"
OK, WARN, BAD = GREEN, ORANGE, RED
# Lines that report no use of their own count as reserved.
OUTSIDE = 'component=~"libraries|graphs|context_floor|other_processes"'
IN_ARENA = OUTSIDE.replace("=~", "!~")
KV = 'component="kv_pool"'
FAILED = 'code!="OK"'

HEADROOM = Dashboard(
    "headroom-memory", "Headroom", "Where the bytes of every device are: planned, promised, in use, left.",
    [
        Row("Now", [
            Panel("Headroom now", [Query(sel("headroom_memory_headroom_bytes"), DEVICE)], "bytes", "stat", width=6, height=5,
                  description="Bytes of the device that nothing holds."),
            Panel("Headroom, low-water mark", [Query(sel("headroom_memory_headroom_low_water_bytes"), DEVICE)], "bytes", "stat", width=6, height=5,
                  description="The least headroom at any one moment since the process came up."),
            Panel("Device in use", [Query(f"1 - {sel('headroom_memory_headroom_bytes')} / {sel('headroom_memory_device_bytes')}", DEVICE)],
                  "percentunit", "stat", width=6, height=5, maximum=1, thresholds=((0, OK), (0.9, WARN), (1, BAD))),
            Panel("Plan against device", [Query(
                f"sum by (job, instance, device) ({sel('headroom_memory_planned_bytes')}) - {sel('headroom_memory_device_bytes')}", DEVICE)],
                "bytes", "stat", width=6, height=5, minimum=None, thresholds=((None, BAD), (0, OK), (1, BAD)),
                description="Planned bytes of all components less the memory of the device: 0, always."),
        ]),
        Row("Device", [
            Panel("Used bytes by component, against capacity", [
                Query(f"sum by (component) ({sel('headroom_memory_used_bytes', IN_ARENA)}) > 0"
                      f" or sum by (component) ({sel('headroom_memory_reserved_bytes', OUTSIDE)}) > 0", "{{component}}"),
                Query(f"sum({sel('headroom_memory_device_bytes')})", "capacity", limit=True, color=RED),
                Query(f"sum({sel('headroom_memory_reserved_bytes')})", "promised", limit=True, color=ORANGE)],
                "bytes", stack=True, width=16, height=11),
            Panel("Plan by component", [Query(f"sum by (component) ({sel('headroom_memory_planned_bytes')}) > 0", "{{component}}", color=BLUE)],
                  "bytes", "bargauge", width=8, height=11),
            Panel("Headroom over time", [
                Query(f"sum by (instance) ({sel('headroom_memory_headroom_bytes')})", "{{instance}} now"),
                Query(f"sum by (instance) ({sel('headroom_memory_headroom_low_water_bytes')})", "{{instance}} low water", limit=True)], "bytes"),
            Panel("KV pool", [
                Query(f"sum({sel('headroom_memory_planned_bytes', KV)})", "planned", limit=True, color=RED),
                Query(f"sum({sel('headroom_memory_reserved_bytes', KV)})", "promised to requests", color=ORANGE),
                Query(f"sum({sel('headroom_memory_used_bytes', KV)})", "written", color=GREEN)], "bytes",
                description="Promised is the worst case of every admitted request: it is never exceeded, so nothing is preempted."),
            Panel("Embedding store", [
                Query(f"sum({sel('headroom_embedding_store_capacity_pages')})", "capacity", limit=True, color=RED),
                Query(f"sum({sel('headroom_embedding_store_used_pages')})", "pinned and cached", color=BLUE),
                Query(f"sum({sel('headroom_embedding_store_pinned_pages')})", "pinned by requests", color=ORANGE)], "short"),
        ]),
        Row("Who holds it", [
            Panel("Legs in use by worker", [Query(sel("headroom_worker_active_legs"), "{{worker}} ({{role}})")], stack=True, width=6),
            Panel("Slots", [Query(sel("headroom_worker_reserved_slots"), "{{worker}} held"),
                            Query(sel("headroom_worker_capacity_slots"), "{{worker}} capacity", limit=True)], width=6),
            Panel("KV blocks", [Query(sel("headroom_worker_capacity_kv_blocks"), "{{worker}} capacity", limit=True, color=RED),
                                Query(sel("headroom_worker_reserved_kv_blocks"), "{{worker}} promised", color=ORANGE),
                                Query(sel("headroom_llm_used_kv_blocks"), "written", color=GREEN)], width=6),
            Panel("Grants", [Query(sel("headroom_scheduler_grants"), "{{state}}")], stack=True, width=6),
            Panel("Host memory of requests", [
                Query(sel("headroom_worker_reserved_host_bytes"), "{{worker}}"),
                Query(sel("headroom_gateway_host_used_bytes"), "gateway {{instance}}")], "bytes", stack=True, width=6),
            Panel("Process against plan", [
                Query(sel("headroom_process_resident_bytes"), "{{instance}} resident"),
                Query(sel("headroom_memory_process_planned_bytes"), "{{instance}} planned", limit=True)], "bytes", width=6,
                description="Anonymous memory of each process; a worker's may exceed its plan by its host budget."),
            Panel("The card, by who holds it", [
                Query(sel("headroom_card_own_bytes"), "{{instance}} own", color=BLUE),
                Query(sel("headroom_card_other_bytes"), "others", color=ORANGE),
                Query(sel("headroom_card_free_bytes"), "free", color=GREEN),
                Query(sel("headroom_card_total_bytes"), "what processes can have", limit=True, color=RED)], "bytes", stack=True, width=6, cards=True,
                description="As the driver tells (NVML). Empty on a CPU."),
            Panel("What the machine could still give", [Query(sel("headroom_host_available_bytes"), "{{instance}}")], "bytes", width=6,
                  description="The smaller of MemAvailable and the control group's limit."),
        ]),
        Row("What would fit now", [
            Panel("More requests that fit, by class", [Query(f"sum by (class) ({sel('headroom_worker_fitting_requests')})", "{{class}}")],
                  "short", "stat", width=12, height=6, thresholds=((0, RED), (1, ORANGE), (4, GREEN)),
                  description="Beside the active legs: texts of 256 and of max_model_len tokens, images of one and of the largest number of pieces."),
            Panel("Sequences that fit", [Query(sel("headroom_worker_fitting_requests", 'role="llm"'), "{{worker}} {{class}}")], width=6, height=6),
            Panel("Images that fit", [Query(sel("headroom_worker_fitting_requests", 'role="vision"'), "{{worker}} {{class}}")], width=6, height=6),
            Panel("Headroom in ten minutes, if it goes on like this", [
                Query(f"predict_linear({sel('headroom_memory_headroom_bytes')}[15m], 600)", DEVICE)], "bytes", width=12,
                  description="The line through the last quarter of an hour, carried on; 0: full by then."),
            Panel("Knobs as planned", [Query(f"max by (knob) ({sel('headroom_plan_knob_value')})", "{{knob}}", color=GREY)], "short", "bargauge", width=12),
        ]),
    ])

SERVING = Dashboard(
    "headroom-serving", "Headroom: serving", "What comes in, what is admitted, what is refused and why, and how fast the answers are.",
    [
        Row("Requests", [
            Panel("Offered, by outcome", [Query(f"sum by (outcome) ({rate('headroom_gateway_requests_total')})", "{{outcome}}")], "reqps", stack=True),
            Panel("Admission decisions", [
                Query(f"sum by (outcome) ({rate('headroom_scheduler_reserve_decisions_total')}) > 0", "{{outcome}}")], "reqps", stack=True),
            Panel("Refused, by budget", [Query(f"sum by (budget) ({rate('headroom_gateway_refusals_total')})", "{{budget}}")], "reqps", stack=True),
            Panel("Running", [Query(f"sum({sel('headroom_gateway_requests_running')})", "at the gateways", color=BLUE),
                              Query(f"sum({sel('headroom_llm_running_sequences')})", "in steps", color=GREEN),
                              Query(f"sum({sel('headroom_llm_waiting_sequences')})", "wait for a step", color=ORANGE)]),
            Panel("Queue", [Query(f"sum({sel('headroom_scheduler_queue_entries')})", "waiting", color=ORANGE),
                            Query(f"sum({sel('headroom_scheduler_queue_limit_entries')})", "limit", limit=True, color=RED)]),
            Panel("Queue wait", quantiles("headroom_scheduler_queue_wait_seconds"), "s"),
        ]),
        Row("Latency", [
            Panel("Time to first token", quantiles("headroom_gateway_time_to_first_token_seconds"), "s", width=6),
            Panel("Time per output token", quantiles("headroom_gateway_time_per_output_token_seconds"), "s", width=6),
            Panel("End to end", quantiles("headroom_gateway_request_seconds"), "s", width=6),
            Panel("Arrival to grant", quantiles("headroom_gateway_queue_seconds"), "s", width=6),
            Panel("Tokens", [Query(f"sum({rate('headroom_gateway_prompt_tokens_total')})", "prompt", color=BLUE),
                             Query(f"sum({rate('headroom_gateway_completion_tokens_total')})", "answer", color=GREEN)], "tok/s", width=12),
            Panel("Images", [Query(f"sum({rate('headroom_gateway_images_total')})", "images", color=BLUE),
                             Query(f"sum({rate('headroom_gateway_pieces_total')})", "pieces", color=PURPLE)], "cps", width=12),
        ]),
        Row("HTTP", [
            Panel("Answers, by route and status", [
                Query(f"sum by (route, status) ({rate('headroom_gateway_http_requests_total')})", "{{route}} {{status}}")], "reqps", stack=True, width=6),
            Panel("Connections", [Query(f"sum({sel('headroom_gateway_http_connections')})", "open", color=BLUE),
                                  Query(f"sum({sel('headroom_gateway_http_open_requests')})", "wait for an answer or read one", color=GREEN)], width=6),
            Panel("Connections that ended, by cause", [
                Query(f"sum by (cause) ({rate('headroom_gateway_http_connections_ended_total')})", "{{cause}}")], "cps", stack=True, width=6),
            Panel("Bytes", [Query(f"sum({rate('headroom_gateway_http_received_bytes_total')})", "received", color=BLUE),
                            Query(f"sum({rate('headroom_gateway_http_sent_bytes_total')})", "sent", color=GREEN)], "Bps", width=6),
        ]),
        Row("Language model", [
            Panel("Step time", quantiles("headroom_llm_step_seconds"), "s", width=6),
            Panel("Steps, by what is in them", [Query(f"sum by (kind) ({rate('headroom_llm_steps_total')})", "{{kind}}")], "cps", stack=True, width=6),
            Panel("Rows of a step", [Query(mean("headroom_llm_step_tokens"), "rows, mean", color=BLUE),
                                     Query(mean("headroom_llm_step_prompt_tokens"), "of prompts, mean of steps that have such", color=ORANGE)], width=6),
            Panel("Sequences of a step", [Query(mean("headroom_llm_step_sequences"), "mean", color=BLUE),
                                          Query(quantile(0.99, "headroom_llm_step_sequences"), "p99", color=RED)], width=6),
            Panel("Tokens through the decoder", [Query(f"sum by (kind) ({rate('headroom_llm_tokens_total')})", "{{kind}}")], "tok/s", stack=True, width=12),
            Panel("Requests of the llm-workers", [Query(f"sum by (outcome) ({rate('headroom_llm_requests_total')})", "{{outcome}}")], "reqps", stack=True, width=6),
            Panel("Embeddings pulled", [Query(f"sum({rate('headroom_llm_fetches_total')})", "pulled", color=GREEN),
                                        Query(f"sum({rate('headroom_llm_fetch_failures_total')})", "failed", color=RED)], "reqps", width=6),
        ]),
        Row("Vision", [
            Panel("Encode time of a piece", quantiles("headroom_vision_piece_encode_seconds"), "s", width=6),
            Panel("Decode, resize, cut", quantiles("headroom_vision_decode_seconds"), "s", width=6),
            Panel("Step of the tower", [Query(mean("headroom_vision_step_pieces"), "pieces, mean", color=PURPLE),
                                        Query(f"sum({sel('headroom_vision_waiting_pieces')})", "pieces waiting", color=ORANGE)], width=6),
            Panel("Patches of a step", [Query(mean("headroom_vision_step_patches"), "mean", color=BLUE),
                                        Query(quantile(0.99, "headroom_vision_step_patches"), "p99", color=RED)], width=6),
            Panel("Cache hits", [Query(f"sum({rate('headroom_vision_cache_hits_total')}) / sum({rate('headroom_vision_images_total')})", "part of images", color=GREEN)],
                  "percentunit", maximum=1, width=6),
            Panel("Images decoded", [Query(f"sum by (outcome) ({rate('headroom_vision_decodes_total')})", "{{outcome}}")], "cps", stack=True, width=6),
            Panel("Pieces", [Query(f"sum({rate('headroom_vision_pieces_total')})", "encoded", color=PURPLE),
                             Query(f"sum({rate('headroom_vision_fetched_pieces_total')})", "sent to llm-workers", color=BLUE)], "cps", width=6),
            Panel("Evictions", [Query(f"sum({rate('headroom_embedding_store_evictions_total')})", "entries", color=ORANGE)], "cps", width=6),
        ]),
        Row("Cluster", [
            Panel("Workers", [Query(f"sum by (role, state) ({sel('headroom_scheduler_workers')})", "{{role}} {{state}}")], width=6),
            Panel("Load of the workers", [Query(f"max by (worker) ({sel('headroom_scheduler_worker_reserved_ratio')})", "{{worker}}")], "percentunit", width=6,
                  description="The fullest resource of each worker: promised and pending, of its capacity."),
            Panel("gRPC calls", [Query(f"sum by (service, method) ({rate('headroom_grpc_server_calls_total')})", "{{service}}/{{method}}")], "reqps", stack=True, width=6),
            Panel("gRPC calls that ended badly", [
                Query(f"sum by (code) ({rate('headroom_grpc_server_calls_total', FAILED)})", "{{code}}")], "reqps", stack=True, width=6),
            Panel("gRPC call time, p99", [Query(quantile(0.99, "headroom_grpc_server_call_seconds", "service, method"), "{{service}}/{{method}}")], "s", width=12),
            Panel("Cards: what no plan knows", [
                Query(sel("headroom_card_growth_bytes"), "{{instance}} took since it was ready", color=RED),
                Query(sel("headroom_card_other_bytes"), "others beside {{instance}}", color=ORANGE)], "bytes", width=12, cards=True,
                description="As the driver tells (NVML). Empty on a CPU."),
            Panel("Builds and configurations", [Query(sel("headroom_build_info")), Query(sel("headroom_config_info"))], kind="table", width=12),
        ]),
    ])

DASHBOARDS = {"headroom": HEADROOM, "serving": SERVING}
