//! The window: receives events, draws the panels, carries out effects.
//!
//! Nothing is decided here. `AppState` decides, and this module carries out its effects: requests to the
//! engine, pictures to the save queue, tasks to threads.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, never, unbounded};
use eframe::CreationContext;
use egui::{Align, CentralPanel, Frame, Layout, Margin, Panel, ScrollArea, Ui, ViewportCommand};
use engine::session::{Event, ModelEvent, Request, Session};

use super::side_panel::{drawer_ui, side_panel_ui};
use super::status_bar::status_bar_ui;
use super::top_bar::top_bar_ui;

use crate::features::canvas::panel::{CanvasView, canvas_ui};
use crate::features::command::Command;
use crate::features::concepts::watch::ConceptWatch;
use crate::features::drop::DropCommand;
use crate::features::drop::panel::drop_overlay_ui;
use crate::features::effect::Effect;
use crate::features::event::AppEvent;
use crate::features::export;
use crate::features::film::FilmCommand;
use crate::features::film::panel::filmstrip_ui;
use crate::features::generate::controls::controls_ui;
use crate::features::generate::panel::generate_button_ui;
use crate::features::lesson::LessonCommand;
use crate::features::models::{LibraryCommand, ModelCommand};
use crate::features::prompt::panel::prompt_ui;
use crate::features::prompt::prompt_words::prompt_id;
use crate::features::schedule::curves::ScheduleCurves;
use crate::features::settings::{Settings, SettingsCommand, WindowLayout};
use crate::features::start_image::panel::start_image_ui;
use crate::features::state::AppState;
use crate::hub;
use crate::library::{LibraryScanner, ScanCommand};
use crate::ui::fonts;
use crate::ui::section::rule_ui;
use crate::ui::textures::Textures;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::window::save_queue::SaveQueue;
use crate::window::single_instance::{FirstInstance, SecondStart};
use crate::window::{crash_report, shortcuts, tasks};

/// The engine as the window sees it: requests go in, events come out, and each event
/// wakes the window.
pub trait Engine {
    fn send(&self, request: Request);
    fn events(&self) -> &Receiver<Event>;
}

impl Engine for Session {
    fn send(&self, request: Request) {
        Self::send(self, request);
    }

    fn events(&self) -> &Receiver<Event> {
        Self::events(self)
    }
}

/// The application.
pub struct TidepoolApp {
    pub state: AppState,
    // Declared before the save queue, so that the engine has stopped before the last pictures are saved.
    engine: Box<dyn Engine>,
    saver: SaveQueue,
    scanner: LibraryScanner,
    /// The busy state last sent to the library scanner.
    is_busy: bool,
    concepts: ConceptWatch,
    news: Receiver<AppEvent>,
    events: EventSender,
    second_starts: Receiver<SecondStart>,
    textures: Textures,
    curves: ScheduleCurves,
    view: CanvasView,
    memory: Memory,
    settings_folder: PathBuf,
    is_first_frame: bool,
}

/// Sends events to the window from any thread.
#[derive(Clone)]
struct EventSender {
    news: Sender<AppEvent>,
    ctx: egui::Context,
}

impl EventSender {
    fn send(&self, news: AppEvent) {
        // If the window is gone, nobody needs the event.
        let _ = self.news.send(news);
        self.ctx.request_repaint();
    }
}

impl TidepoolApp {
    /// `start_engine` receives the context that wakes the window.
    pub fn new(
        cc: &CreationContext<'_>,
        settings: Settings,
        settings_folder: PathBuf,
        start_engine: impl FnOnce(egui::Context) -> Box<dyn Engine>,
    ) -> Self {
        let ctx = &cc.egui_ctx;
        theme::apply_theme(ctx);
        fonts::install(ctx);
        egui_extras::install_image_loaders(ctx);
        ctx.set_theme(settings.theme.preference());
        let (sender, news) = unbounded();
        let events = EventSender { news: sender, ctx: ctx.clone() };
        let save_events = events.clone();
        let library_events = events.clone();
        let concept_events = events.clone();
        let mut app = Self {
            state: AppState::new(settings),
            engine: start_engine(ctx.clone()),
            saver: SaveQueue::start(move |news| save_events.send(news)),
            scanner: LibraryScanner::start(settings_folder.clone(), move |library| {
                library_events.send(AppEvent::Library(library));
            }),
            is_busy: false,
            concepts: ConceptWatch::start(move |news| concept_events.send(AppEvent::Concepts(news))),
            news,
            events,
            second_starts: never(),
            textures: Textures::default(),
            curves: ScheduleCurves::default(),
            view: CanvasView::default(),
            memory: Memory::default(),
            settings_folder,
            is_first_frame: true,
        };
        let effects = app.state.begin();
        app.carry_out(effects);
        app
    }

    /// Shows a warning.
    pub fn warn(&mut self, text: String) {
        self.receive(AppEvent::Engine(Event::Warning { text }));
    }

    /// Takes the files of later starts of the program.
    pub fn listen(&mut self, first: FirstInstance) {
        let ctx = self.events.ctx.clone();
        self.second_starts = first.listen(move || ctx.request_repaint());
    }

    /// Opens files as if they were dropped on the window.
    pub fn open(&mut self, files: Vec<PathBuf>) {
        if !files.is_empty() {
            self.press(Command::Drop(DropCommand::Files(files)));
        }
    }

    /// Applies a command, as if by a click.
    pub fn press(&mut self, command: Command) {
        let remembers = match &command {
            Command::Generate
            | Command::Settings(SettingsCommand::SetTheme(_) | SettingsCommand::SetWindowSystem(_))
            | Command::Model(ModelCommand::Open(_)) => true,
            Command::Library(command) => !matches!(command, LibraryCommand::Search(_)),
            Command::Lesson(command) => !matches!(command, LessonCommand::Strength(_)),
            _ => false,
        };
        let effects = self.state.handle(command);
        self.carry_out(effects);
        if remembers {
            self.remember();
        }
    }

    /// Applies an event.
    pub fn receive(&mut self, news: impl Into<AppEvent>) {
        let news = news.into();
        if let AppEvent::Engine(Event::Model(ModelEvent::Opened(info))) = &news {
            crash_report::collect(&format!("Engine: {}, {}", info.device.name, info.device.precision.name()));
        }
        let remembers = matches!(
            news,
            AppEvent::Inspected(_) | AppEvent::LibraryFolderPicked(_) | AppEvent::ModelPicked(_)
        );
        let effects = self.state.receive(news);
        self.carry_out(effects);
        if remembers {
            self.remember();
        }
    }

    fn remember(&self) {
        self.saver.remember(self.state.shared.settings_to_save(), self.settings_folder.clone());
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let is_busy = self.state.is_busy();
        if is_busy != self.is_busy {
            self.is_busy = is_busy;
            self.scanner.send(ScanCommand::Pause(is_busy));
        }
        for effect in effects {
            match effect {
                Effect::Library(order) => self.scanner.send(order),
                Effect::Send(request) => self.engine.send(request),
                Effect::Save(batch) => self.saver.save(batch),
                Effect::SavePlot(sheet) => self.saver.save_plot(sheet),
                Effect::WatchConcepts(folders) => self.concepts.watch(folders),
                Effect::Hub(command) => {
                    let events = self.events.clone();
                    hub::run(command, move |report| events.send(AppEvent::Hub(report)));
                }
                Effect::WriteFilm(order) => {
                    let events = self.events.clone();
                    export::write(order, move |news| events.send(AppEvent::Film(news)));
                }
                Effect::Task(task) => {
                    let events = self.events.clone();
                    tasks::run(task, move |event| events.send(event));
                }
            }
        }
    }

    fn drain_events(&mut self) {
        while let Ok(event) = self.engine.events().try_recv() {
            self.receive(event);
        }
        while let Ok(news) = self.news.try_recv() {
            self.receive(news);
        }
        let mut files = Vec::new();
        let mut is_asked_for = false;
        while let Ok(start) = self.second_starts.try_recv() {
            is_asked_for = true;
            files.extend(start.taken());
        }
        if is_asked_for {
            self.events.ctx.send_viewport_cmd(ViewportCommand::Minimized(false));
            self.events.ctx.send_viewport_cmd(ViewportCommand::Focus);
            self.open(files);
        }
    }

    fn desk_ui(&mut self, ui: &mut Ui, commands: &mut Vec<Command>) {
        let mut recipe = self.state.shared.recipe.clone();
        let tokens = Tokens::of(ui);
        let bar = |fill, side: f32| Frame::new().fill(fill).inner_margin(Margin::symmetric(side as i8, 0));
        Panel::top("top bar").exact_size(theme::TOP_HEIGHT).frame(bar(tokens.window, theme::EDGE)).show(
            ui,
            |ui| {
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    top_bar_ui(ui, &self.state.shared, commands);
                });
            },
        );
        Panel::bottom("status bar")
            .exact_size(theme::STATUS_HEIGHT)
            .frame(bar(tokens.window, theme::EDGE))
            .show(ui, |ui| {
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    let memory = self.memory.bytes();
                    status_bar_ui(
                        ui,
                        &self.state.shared,
                        &self.state.runs,
                        &self.state.device,
                        memory,
                        commands,
                    );
                });
            });
        let mut is_open = !self.state.shared.settings.window.left_folded;
        Panel::left("left")
            .exact_size(theme::LEFT_WIDTH)
            .resizable(false)
            .frame(Frame::new().fill(tokens.panel))
            .show_collapsible(ui, &mut is_open, |ui| {
                left_ui(ui, &self.state, &mut recipe, &mut self.textures, commands);
            });
        side_panel_ui(ui, &self.state, &mut recipe, &mut self.curves, &mut self.textures, commands);
        Panel::bottom("film")
            .exact_size(theme::FILM_HEIGHT)
            .resizable(false)
            .frame(Frame::new().fill(tokens.panel).inner_margin(Margin {
                left: 11,
                right: 11,
                top: 8,
                bottom: 4,
            }))
            .show_collapsible(ui, &mut is_open, |ui| {
                filmstrip_ui(ui, &self.state, &mut self.textures, commands);
            });
        CentralPanel::default().frame(Frame::new().fill(tokens.canvas)).show(ui, |ui| {
            canvas_ui(ui, &self.state, &mut self.view, &mut self.textures, commands);
        });
        drawer_ui(ui, &self.state, &mut recipe, &mut self.curves, &mut self.textures, commands);
        drop_overlay_ui(ui, &self.state, &mut self.textures, commands);
        if recipe != self.state.shared.recipe {
            commands.insert(0, Command::Edit(Box::new(recipe)));
        }
    }
}

/// The left panel, with the Generate button always at the bottom.
fn left_ui(
    ui: &mut Ui,
    state: &AppState,
    recipe: &mut engine::recipe::Recipe,
    textures: &mut Textures,
    commands: &mut Vec<Command>,
) {
    let edge = theme::EDGE as i8;
    Panel::bottom("generate")
        .resizable(false)
        .show_separator_line(false)
        .frame(Frame::new().inner_margin(Margin { left: edge, right: edge, top: 10, bottom: 6 }))
        .show(ui, |ui| generate_button_ui(ui, &state.shared, &state.runs, commands));
    ScrollArea::vertical().id_salt("left").auto_shrink([false, false]).show(ui, |ui| {
        Frame::new().inner_margin(Margin { left: edge, right: edge, top: 12, bottom: 8 }).show(ui, |ui| {
            ui.set_width(theme::LEFT_WIDTH - 2.0 * theme::EDGE - 1.0);
            prompt_ui(ui, state, recipe, commands);
            rule_ui(ui, theme::GAP_M);
            start_image_ui(ui, state, textures, commands);
            rule_ui(ui, theme::GAP_M);
            controls_ui(ui, &state.shared, recipe, commands);
        });
    });
}

impl eframe::App for TidepoolApp {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.drain_events();
        if let Some(window) = window_layout(ctx, &self.state.shared.settings.window) {
            self.press(Command::Settings(SettingsCommand::KeepWindow(window)));
        }
    }

    fn ui(&mut self, ui: &mut Ui, frame: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        if let Some(secs) = frame.info().cpu_usage {
            // RUST_LOG=app=trace shows the cost of the previous frame.
            tracing::trace!("frame {:.2} ms", secs * 1e3);
        }
        if std::mem::take(&mut self.is_first_frame) {
            crash_report::crash_if_asked("window");
            ctx.memory_mut(|memory| memory.request_focus(prompt_id()));
        }
        let mut commands = Vec::new();
        self.open(
            ctx.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect()),
        );
        shortcuts::take(&ctx, &self.state, &mut commands);
        if self.state.film.play.is_some() {
            commands.push(Command::Film(FilmCommand::Tick { now: ctx.input(|input| input.time) }));
        }
        for command in commands.drain(..) {
            self.press(command);
        }
        self.desk_ui(ui, &mut commands);
        let theme_before = self.state.shared.settings.theme;
        if !commands.is_empty() {
            // What was drawn is already out of date.
            ctx.request_repaint();
        }
        for command in commands {
            self.press(command);
        }
        if self.state.shared.settings.theme != theme_before {
            ctx.set_theme(self.state.shared.settings.theme.preference());
        }
        if let Some(play) = &self.state.film.play {
            let next = play.next_in(ctx.input(|input| input.time), self.state.shared.settings.playing);
            ctx.request_repaint_after(Duration::from_secs_f64(next));
        }
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        let tokens = if visuals.dark_mode { &theme::DARK } else { &theme::LIGHT };
        tokens.window.to_normalized_gamma_f32()
    }

    fn on_exit(&mut self) {
        self.press(Command::Stop);
        if let Err(error) = self.state.shared.settings_to_save().save(&self.settings_folder) {
            tracing::error!("{error}");
        }
    }
}

/// The current window layout, if it differs from the saved one. A maximized window keeps the size
/// that it will return to.
fn window_layout(ctx: &egui::Context, before: &WindowLayout) -> Option<WindowLayout> {
    let now = ctx.input(|input| {
        let viewport = input.viewport();
        let maximized = viewport.maximized.unwrap_or(false) || viewport.fullscreen.unwrap_or(false);
        let mut now = WindowLayout { maximized, ..before.clone() };
        if !maximized && let Some(inner) = viewport.inner_rect {
            now.size = inner.size().into();
            now.position = viewport.outer_rect.map(|outer| outer.min.into());
        }
        now
    });
    (now != *before).then_some(now)
}

/// The memory of this program, read at most once a second, and only when something is drawn.
struct Memory {
    /// `None` on systems that do not report it.
    system: Option<sysinfo::System>,
    asked: Option<Instant>,
    bytes: Option<u64>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { system: sysinfo::System::new().ok(), asked: None, bytes: None }
    }
}

impl Memory {
    fn bytes(&mut self) -> Option<u64> {
        use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, get_current_pid};
        let is_fresh = self.asked.is_some_and(|asked| asked.elapsed() < Duration::from_secs(1));
        if !is_fresh
            && let Some(system) = &mut self.system
            && let Ok(pid) = get_current_pid()
        {
            self.asked = Some(Instant::now());
            let memory = ProcessRefreshKind::nothing().with_memory();
            system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, memory);
            self.bytes = system.process(pid).map(sysinfo::Process::memory);
        }
        self.bytes
    }
}
